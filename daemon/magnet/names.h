// SPDX-License-Identifier: Apache-2.0
// Codes of events and layers, and what people call them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "proto/magnet.h"

namespace fieldline::magnet {

struct EventName {
  std::uint32_t code;
  const char* name;  // the paper's, without MAGNET_
};

std::span<const EventName> event_names();  // by rising code
const char* find_event_name(std::uint32_t code);
// "TCP_SEND"; "0x8001" for the events of other modules and for codes that this version does not
// know.
std::string event_name(std::uint32_t code);
// What event_name() gives; also "MAGNET_TCP_SEND" and "tcp-send".
std::optional<std::uint32_t> event_code(std::string_view name);

// The number in a code's high byte; none for SYSINFO, LOST and the events of other modules.
std::optional<unsigned> layer_of(std::uint32_t code);
const char* layer_name(unsigned layer);  // "sock" .. "dev"; null if there is none
std::optional<unsigned> layer_number(std::string_view name);

}  // namespace fieldline::magnet
