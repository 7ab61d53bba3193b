// SPDX-License-Identifier: Apache-2.0
#include "cli/magnet/pacer.h"

#include <algorithm>

namespace fieldline::cli {

namespace {
constexpr double kTarget = 0.5;      // of a ring
constexpr double kForget = 1.0 / 8;  // of a higher rate, each round
constexpr double kAlarm = 0.75;      // it may have been more: the ring was as good as full
}  // namespace

void Pacer::observe(double fill, std::uint64_t elapsed_ns) {
  const double elapsed = static_cast<double>(std::max<std::uint64_t>(elapsed_ns, 1));
  const double now = fill / elapsed;
  rate_ = now >= rate_ ? now : rate_ + (now - rate_) * kForget;
  filled_ += fill;
  observed_ += elapsed;
  double wanted = rate_ > 0 ? kTarget / rate_ : static_cast<double>(kLongest);
  // At most doubled in one round: one quiet round says little.
  wanted = std::min(wanted, 2.0 * static_cast<double>(sleep_));
  if (fill >= kAlarm) wanted = std::min(wanted, static_cast<double>(sleep_) / 2);
  sleep_ = static_cast<std::uint64_t>(
      std::clamp(wanted, static_cast<double>(kShortest), static_cast<double>(kLongest)));
}

void Pacer::woken() {
  sleep_ = std::min(sleep_, kFirst);
}

std::uint64_t Pacer::fill_time_ns() const {
  return filled_ > 0 ? static_cast<std::uint64_t>(observed_ / filled_) : 0;
}

}  // namespace fieldline::cli
