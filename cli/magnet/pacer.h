// SPDX-License-Identifier: Apache-2.0
// How long magnet-read sleeps between two rounds.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace fieldline::cli {

// The paper sleeps for the average time in which the buffer fills. `automatic` measures that time
// for the ring that fills fastest, and sleeps for half of it: a rate that doubles in one round
// still fits. It follows a rising rate at once and a falling one slowly.
class Pacer {
 public:
  static constexpr std::uint64_t kShortest = kNanosPerMilli / 5;
  static constexpr std::uint64_t kLongest = 50 * kNanosPerMilli;
  static constexpr std::uint64_t kFirst = 2 * kNanosPerMilli;  // nothing is known yet

  static Pacer automatic() { return Pacer(); }
  static Pacer fixed(std::uint64_t ns) {
    Pacer pacer;
    pacer.fixed_ = ns;
    return pacer;
  }

  // A round took `fill` (0..1) of the fullest ring, `elapsed` after the round before it.
  void observe(double fill, std::uint64_t elapsed_ns);
  // All rings were empty, and the reader waited: what comes now may come at any rate.
  void woken();

  std::uint64_t sleep_ns() const { return fixed_ ? *fixed_ : sleep_; }
  // The paper's figure: how long the fullest ring takes to fill, on the average; 0: not known.
  std::uint64_t fill_time_ns() const;

 private:
  std::optional<std::uint64_t> fixed_;
  std::uint64_t sleep_ = kFirst;
  double rate_ = 0;      // rings a nanosecond, followed as above
  double filled_ = 0;    // sum of all fills ...
  double observed_ = 0;  // ... in so many nanoseconds
};

}  // namespace fieldline::cli
