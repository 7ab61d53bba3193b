// SPDX-License-Identifier: Apache-2.0
// TCP sequence numbers without their wrap: 64-bit values that grow, so that holes and windows
// compare plainly.
#pragma once

#include <cstdint>

namespace fieldline::analysis {

// Where a flow's first sequence number stands: one wrap above zero, so that what is older stays
// positive.
constexpr std::uint64_t first_position(std::uint32_t sequence) {
  return (1ull << 32) + sequence;
}

// The position nearest to `near` whose low 32 bits are `sequence` (RFC 1982 arithmetic). `near`
// must never fall.
constexpr std::uint64_t position(std::uint64_t near, std::uint32_t sequence) {
  const auto step = static_cast<std::int32_t>(sequence - static_cast<std::uint32_t>(near));
  return near + static_cast<std::uint64_t>(static_cast<std::int64_t>(step));
}

constexpr bool before(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::int32_t>(a - b) < 0;
}

}  // namespace fieldline::analysis
