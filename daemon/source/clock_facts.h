// SPDX-License-Identifier: Apache-2.0
// What the kernel says of its clock's discipline (adjtimex).
#pragma once

#include <cstdint>
#include <string>

namespace fieldline::source {

struct ClockFacts {
  bool synchronized = false;
  std::string source;          // tsc, kvm-clock
  std::int64_t offset_ns = 0;  // of UTC, still to be slewed away
  std::uint64_t max_error_ns = 0, estimated_error_ns = 0;
  double frequency_ppm = 0;  // the correction in force

  // The most that UTC may be wrong by, as far as the kernel knows.
  std::uint64_t error_ns() const {
    return max_error_ns + static_cast<std::uint64_t>(offset_ns < 0 ? -offset_ns : offset_ns);
  }
};

ClockFacts read_clock_facts();

}  // namespace fieldline::source
