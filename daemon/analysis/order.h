// SPDX-License-Identifier: Apache-2.0
// The order of vantage points along one direction, from what the packets themselves say.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "analysis/track.h"

namespace fieldline::analysis {

struct Seat {
  const Track* track = nullptr;
  std::string place;  // domain and sensor: the same in both directions, and one clock
  std::string name;   // decides where nothing else does
};

// Indices of `direction` in path order. A router between two points has taken from the TTL; a tie
// (both ends of one wire) is decided by the median delay. Where the same two places saw the
// opposite direction too, its delay is subtracted, which cancels any offset between their clocks.
std::vector<std::size_t> path_order(std::span<const Seat> direction,
                                    std::span<const Seat> opposite);

// Whether two ports of one sensor share the load of one place (members of a LAG) rather than stand
// one behind the other: then most packets were seen by one of them only.
bool parallel(const Track& a, const Track& b);

}  // namespace fieldline::analysis
