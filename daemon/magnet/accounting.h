// SPDX-License-Identifier: Apache-2.0
// What /proc/net/magnet says: the state of the module, its hooks and its rings.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fieldline::magnet {

struct HookState {
  std::vector<std::string> events;  // "TCP_SEND"
  std::string state;                // "armed", "absent" ...
  std::uint64_t missed = 0;
};

struct RingState {
  unsigned cpu = 0;
  std::uint64_t recorded = 0, lost = 0, high_water = 0;
};

struct ModuleState {
  std::string version;
  bool unstable = false;  // the kernel says it of the cycle counters: times of two do not compare
  std::vector<HookState> hooks;
  std::vector<RingState> rings;

  std::uint64_t missed() const;
  // Events that no hook gives: of some hook in the list, and of none that is there.
  std::vector<std::string> absent() const;
};

// Lines and words that are not known are passed over: columns are added at a line's end.
Result<ModuleState> parse_module_state(std::string_view text);
Result<ModuleState> read_module_state(const std::string& path = "/proc/net/magnet");

}  // namespace fieldline::magnet
