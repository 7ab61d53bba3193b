// SPDX-License-Identifier: Apache-2.0
#include "archive/retention.h"

#include <algorithm>

namespace fieldline::archive {

namespace {

constexpr std::uint64_t kJumpNs = 3600 * kNanosPerSecond;
constexpr std::uint64_t kLeastFloor = 1 << 20, kMostFloor = 64 << 20;

}  // namespace

void ClockWatch::look(std::uint64_t utc_ns, std::uint64_t monotonic_ns, bool is_synchronised) {
  synchronised_ = is_synchronised;
  const std::uint64_t now = utc_ns - monotonic_ns;
  const std::uint64_t ahead = now - offset_.value_or(now);
  jumped_ = std::min(ahead, 0 - ahead) > kJumpNs;
  // What a clock does until something keeps it right is no measure. Small corrections add up.
  if (is_synchronised && !jumped_) offset_ = now;
}

Excess excess(const Rules& rules, std::uint64_t held_bytes, const Space& space) {
  Excess found;
  if (rules.max_bytes != 0 && held_bytes > rules.max_bytes) {
    found = {held_bytes - rules.max_bytes, Deletion::Reason::size};
  }
  const auto share =
      static_cast<std::uint64_t>(rules.keep_free_share * static_cast<double>(space.total));
  const std::uint64_t keep = std::max(rules.keep_free_bytes, share);
  if (space.free < keep && keep - space.free > found.bytes) {
    found = {keep - space.free, Deletion::Reason::free};
  }
  return found;
}

std::uint64_t floor_of(const Space& space) {
  return std::clamp(space.total / 100, kLeastFloor, kMostFloor);
}

}  // namespace fieldline::archive
