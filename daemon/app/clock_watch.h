// SPDX-License-Identifier: Apache-2.0
// Whether this host's clock was set: records bear UTC by it, and whoever joins them must know.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace fieldline::app {

struct ClockStep {
  enum class What {
    utc,         // CLOCK_REALTIME was set, and CLOCK_TAI with it
    tai_offset,  // CLOCK_TAI minus UTC: what packets were stamped with until it was read was wrong
  };

  What what = What::utc;
  std::uint64_t from_ns = 0, to_ns = 0;  // UTC, by the clock before and after
  std::int64_t by_ns = 0;
};
const char* name_of(ClockStep::What what);

// CLOCK_BOOTTIME is slewed as UTC is and never set: what they grow apart by are steps.
// CLOCK_MONOTONIC stands still while the host is suspended, and would take that for one.
std::uint64_t boot_time_ns();

class ClockWatch {
 public:
  explicit ClockWatch(const Clock& clock, std::function<std::uint64_t()> boot_time = boot_time_ns)
      : clock_(clock), boot_time_(std::move(boot_time)), last_(read()) {}

  // Steps since the last look.
  void look();
  // Those that were not taken yet: the first 16, the rest is only counted.
  std::vector<ClockStep> take() { return std::exchange(untold_, {}); }
  std::uint64_t steps() const { return steps_; }

 private:
  struct Mark {
    std::uint64_t boot_ns = 0, utc_ns = 0, tai_offset_ns = 0;
    std::uint64_t width_ns = UINT64_MAX;  // utc_ns was read so long behind boot_ns at most
  };

  Mark read() const;
  void note(const ClockStep& step);

  const Clock& clock_;
  std::function<std::uint64_t()> boot_time_;
  Mark last_;
  std::vector<ClockStep> untold_;
  std::uint64_t steps_ = 0;
};

}  // namespace fieldline::app
