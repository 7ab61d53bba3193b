// SPDX-License-Identifier: Apache-2.0
// From a CPU's cycle counter to clocks, by the clock pairs that were taken while it ran.
#pragma once

#include <cstdint>
#include <deque>
#include <map>

#include "magnet/ring.h"

namespace fieldline::magnet {

struct Instant {
  std::uint64_t utc_ns = 0;
  std::uint64_t tai_ns = 0;
};

// Between two pairs of one CPU time runs evenly, whatever the nominal frequency: that takes out
// both the counter's error and the clock's slewing. Outside of them, and across a step of the
// clock, the nominal frequency counts from the nearest pair. A CPU without pairs of its own goes by
// those of the others: counters that deserve the name run together.
class Timeline {
 public:
  explicit Timeline(std::uint32_t cycles_khz) : cycles_khz_(cycles_khz) {}

  // Pairs of one CPU in the order in which they were taken. Behind one with less cycles at a later
  // time the counter runs anew (it may stop while the machine sleeps), and the pairs before it tell
  // nothing any more; one that goes back in both is passed over.
  void add(unsigned cpu, const ClockPair& pair);
  bool empty() const { return pairs_.empty(); }

  Instant at(unsigned cpu, std::uint64_t cycles) const;

 private:
  using Pairs = std::deque<ClockPair>;
  static constexpr std::size_t kKept = 64;  // of each CPU, the newest

  const Pairs* pairs_for(unsigned cpu, std::uint64_t cycles) const;
  std::int64_t nominal_ns(std::int64_t cycles) const;
  bool steady(const ClockPair& a, const ClockPair& b) const;
  Instant from(const ClockPair& pair, std::uint64_t cycles) const;

  std::uint32_t cycles_khz_;
  std::map<unsigned, Pairs> pairs_;
};

}  // namespace fieldline::magnet
