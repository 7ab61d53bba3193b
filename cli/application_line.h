// SPDX-License-Identifier: Apache-2.0
// One line of `fieldline events` that an application wrote, and its text.
#pragma once

#include <cstdint>
#include <string>

#include "base/application_event.h"

namespace fieldline::cli {

inline constexpr const char* kApplicationLayer = "app";

// Holds the body that it is a view of: parsed when it is taken and again when it is printed.
struct ApplicationLine {
  std::uint64_t timestamp_ns = 0;
  Bytes body;

  std::uint64_t time() const { return timestamp_ns; }
  ApplicationEvent event() const { return parse_application_event(body).value(); }
};

std::string text_of(const ApplicationEvent& event);
std::string json_of(const ApplicationEvent& event);
// NetLogger's best-practices form: ts=... event=... and pairs, values in quotes where they need it.
std::string bp_of(const ApplicationEvent& event);

// What an application's last words say that it lost; empty: nothing, or these are not they.
std::string loss_of(const ApplicationEvent& event);

}  // namespace fieldline::cli
