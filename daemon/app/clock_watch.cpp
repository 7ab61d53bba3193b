// SPDX-License-Identifier: Apache-2.0
#include "app/clock_watch.h"

#include <time.h>

namespace fieldline::app {

namespace {

constexpr int kTries = 3;
constexpr std::size_t kUntold = 16;
constexpr std::uint64_t kLeastStepNs = 100'000;  // above what reading the clocks may differ by

}  // namespace

std::uint64_t boot_time_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * kNanosPerSecond +
         static_cast<std::uint64_t>(now.tv_nsec);
}

const char* name_of(ClockStep::What what) {
  return what == ClockStep::What::utc ? "utc" : "tai_offset";
}

// The reading that was interrupted least.
ClockWatch::Mark ClockWatch::read() const {
  Mark best;
  for (int i = 0; i < kTries; ++i) {
    Mark mark;
    mark.boot_ns = boot_time_();
    mark.utc_ns = clock_.utc_ns();
    mark.width_ns = boot_time_() - mark.boot_ns;
    if (mark.width_ns < best.width_ns) best = mark;
  }
  best.tai_offset_ns = tai_offset_ns(clock_);
  return best;
}

void ClockWatch::look() {
  const Mark now = read();
  const auto signed_difference = [](std::uint64_t a, std::uint64_t b) {
    return static_cast<std::int64_t>(a - b);
  };
  const std::int64_t by = signed_difference(now.utc_ns - last_.utc_ns, now.boot_ns - last_.boot_ns);
  const auto least = static_cast<std::int64_t>(kLeastStepNs + now.width_ns + last_.width_ns);
  if (by > least || by < -least) note({ClockStep::What::utc, last_.utc_ns, now.utc_ns, by});
  if (now.tai_offset_ns != last_.tai_offset_ns) {
    note({ClockStep::What::tai_offset, last_.utc_ns, now.utc_ns,
          signed_difference(now.tai_offset_ns, last_.tai_offset_ns)});
  }
  last_ = now;
}

void ClockWatch::note(const ClockStep& step) {
  ++steps_;
  if (untold_.size() < kUntold) untold_.push_back(step);
}

}  // namespace fieldline::app
