// SPDX-License-Identifier: Apache-2.0
// A port of a sensor, and what it recorded of one direction.
#pragma once

#include <cstdint>
#include <string>
#include <tuple>

#include "analysis/section.h"

namespace fieldline::analysis {

struct VantageKey {
  std::string domain, sensor, interface;

  auto operator<=>(const VantageKey&) const = default;
  std::string place() const { return domain + "/" + sensor; }
};

struct Lane {
  VantageKey key;
  std::uint64_t records = 0, bytes = 0;  // packets as the wire has them
  std::uint64_t super_packets = 0;       // records that stood for several
  std::uint64_t unjoined = 0;            // of these: what they stood for cannot be told
  std::uint64_t late = 0;
  std::uint64_t first_ns = UINT64_MAX, newest_ns = 0;
  std::int64_t shift = 0;  // see Shifts; a guess until it is placed
  bool placed = false;
  Stretch blind;  // see Side
};

}  // namespace fieldline::analysis
