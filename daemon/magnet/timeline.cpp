// SPDX-License-Identifier: Apache-2.0
#include "magnet/timeline.h"

#include <algorithm>
#include <limits>

namespace fieldline::magnet {

namespace {

// Slewing by NTP stays under 500 parts in a million, counters under 100.
constexpr std::int64_t kSlewPerMillion = 1000;

std::uint64_t distance(std::uint64_t a, std::uint64_t b) {
  return a > b ? a - b : b - a;
}

// Saturates at 0 and at the end: a record's cycles can be anything.
std::uint64_t shifted(std::uint64_t ns, std::int64_t by) {
  const __int128 sum = static_cast<__int128>(ns) + by;
  if (sum < 0) return 0;
  if (sum > std::numeric_limits<std::uint64_t>::max()) {
    return std::numeric_limits<std::uint64_t>::max();
  }
  return static_cast<std::uint64_t>(sum);
}

std::uint64_t between(std::uint64_t ns_a, std::uint64_t ns_b, std::uint64_t part,
                      std::uint64_t whole) {
  const auto span = static_cast<unsigned __int128>(ns_b - ns_a);
  return ns_a + static_cast<std::uint64_t>(span * part / whole);
}

}  // namespace

void Timeline::add(unsigned cpu, const ClockPair& pair) {
  auto& pairs = pairs_[cpu];
  if (!pairs.empty() && pair.cycles <= pairs.back().cycles) {
    if (pair.tai_ns <= pairs.back().tai_ns) return;
    pairs.clear();
  }
  pairs.push_back(pair);
  if (pairs.size() > kKept) pairs.pop_front();
}

std::int64_t Timeline::nominal_ns(std::int64_t cycles) const {
  if (cycles_khz_ == 0) return 0;
  const __int128 ns = static_cast<__int128>(cycles) * 1'000'000 / cycles_khz_;
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  if (ns > kMost) return kMost;
  if (ns < -kMost) return -kMost;
  return static_cast<std::int64_t>(ns);
}

// False where a clock was set between the two: nothing tells when.
bool Timeline::steady(const ClockPair& a, const ClockPair& b) const {
  if (b.utc_ns < a.utc_ns || b.tai_ns < a.tai_ns) return false;
  if (cycles_khz_ == 0) return true;
  const std::int64_t nominal = nominal_ns(static_cast<std::int64_t>(b.cycles - a.cycles));
  const std::int64_t slack =
      nominal / 1'000'000 * kSlewPerMillion + a.error_ns + b.error_ns + 10'000;
  auto fits = [&](std::uint64_t from, std::uint64_t to) {
    return static_cast<std::int64_t>(distance(to - from, static_cast<std::uint64_t>(nominal))) <=
           slack;
  };
  return fits(a.utc_ns, b.utc_ns) && fits(a.tai_ns, b.tai_ns);
}

Instant Timeline::from(const ClockPair& pair, std::uint64_t cycles) const {
  const std::int64_t by = nominal_ns(static_cast<std::int64_t>(cycles - pair.cycles));
  return {shifted(pair.utc_ns, by), shifted(pair.tai_ns, by)};
}

const Timeline::Pairs* Timeline::pairs_for(unsigned cpu, std::uint64_t cycles) const {
  if (auto own = pairs_.find(cpu); own != pairs_.end()) return &own->second;
  const Pairs* nearest = nullptr;
  std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
  for (const auto& [other, pairs] : pairs_) {
    const std::uint64_t away =
        std::min(distance(pairs.front().cycles, cycles), distance(pairs.back().cycles, cycles));
    if (nearest == nullptr || away < least) {
      nearest = &pairs;
      least = away;
    }
  }
  return nearest;
}

Instant Timeline::at(unsigned cpu, std::uint64_t cycles) const {
  const Pairs* pairs = pairs_for(cpu, cycles);
  if (pairs == nullptr) return {};
  auto after = std::lower_bound(
      pairs->begin(), pairs->end(), cycles,
      [](const ClockPair& pair, std::uint64_t wanted) { return pair.cycles < wanted; });
  if (after == pairs->begin()) return from(*after, cycles);
  const ClockPair& before = *std::prev(after);
  if (after == pairs->end()) return from(before, cycles);
  if (!steady(before, *after)) {
    const bool late = after->cycles - cycles < cycles - before.cycles;
    return from(late ? *after : before, cycles);
  }
  const std::uint64_t part = cycles - before.cycles, whole = after->cycles - before.cycles;
  return {between(before.utc_ns, after->utc_ns, part, whole),
          between(before.tai_ns, after->tai_ns, part, whole)};
}

}  // namespace fieldline::magnet
