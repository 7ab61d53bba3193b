// SPDX-License-Identifier: Apache-2.0
// A port of a sensor, and what it recorded of one direction.
#pragma once

#include <array>
#include <cstdint>
#include <numeric>
#include <string>
#include <tuple>

#include "analysis/section.h"
#include "analysis/super_packet.h"

namespace fieldline::analysis {

struct VantageKey {
  std::string domain, sensor, interface;

  auto operator<=>(const VantageKey&) const = default;
  std::string place() const { return domain + "/" + sensor; }
};

struct Lane {
  VantageKey key;
  std::uint64_t records = 0, bytes = 0;  // packets as the wire has them
  // Packets that join with nothing, by reason.
  std::array<std::uint64_t, kUnjoinedReasons> unjoined{};
  std::uint64_t late = 0;
  std::uint64_t first_ns = UINT64_MAX, newest_ns = 0;
  std::int64_t shift = 0;  // see Shifts; a guess until it is placed
  bool placed = false;
  Stretch blind;  // see Side

  std::uint64_t unjoined_sum() const {
    return std::accumulate(unjoined.begin(), unjoined.end(), std::uint64_t{0});
  }
};

}  // namespace fieldline::analysis
