// SPDX-License-Identifier: Apache-2.0
// The order of vantage points along one direction, from what the packets themselves say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "analysis/relations.h"

namespace fieldline::analysis {

// Lanes of one place that share its load count as one seat.
struct Seat {
  std::vector<std::uint32_t> lanes;
  std::string place;  // domain and sensor: the same in both directions, and one clock
  std::string name;   // decides where nothing else does
};

// The relation that most packets back, between any lane of one and any of the other.
std::optional<Relation> relation_of(const Seat& a, const Seat& b, const Relations& relations);

// Seats of a direction with what relates them.
struct Seated {
  std::span<const Seat> seats;
  const Relations& relations;
};

// Indices of `direction` in path order. A router between two points has taken from the TTL; a tie
// (both ends of one wire) is decided by the median delay. Where the same two places saw the
// opposite direction too, its delay is subtracted, which cancels any offset between their clocks.
std::vector<std::size_t> path_order(const Seated& direction, const Seated& opposite);

}  // namespace fieldline::analysis
