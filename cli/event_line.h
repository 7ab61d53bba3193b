// SPDX-License-Identifier: Apache-2.0
// One line of `fieldline events`: an event of a host, or a sample of tcp_info, and its text.
#pragma once

#include <cstdint>
#include <string>

#include "proto/event.h"

namespace fieldline::cli {

inline constexpr const char* kSampleName = "TCP_INFO";

struct EventLine {
  std::uint16_t host = 0, cpu = 0;
  bool has_extension = false;
  bool by_ports = false;  // several sockets have its ports, and nothing tells whose it is
  magnet_record_ext record{};

  std::uint64_t time() const { return record.head.timestamp; }
  std::uint64_t sockid() const { return record.head.sockid; }
};

struct SampleLine {
  std::uint16_t host = 0;
  fl_tcp_info sample{};

  std::uint64_t time() const { return sample.timestamp; }
  std::uint64_t sockid() const { return sample.sockid; }
};

std::string text_of(const EventLine& line, const std::string& host);
std::string text_of(const SampleLine& line, const std::string& host);
std::string json_of(const EventLine& line, const std::string& host);
std::string json_of(const SampleLine& line, const std::string& host);

}  // namespace fieldline::cli
