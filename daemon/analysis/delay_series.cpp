// SPDX-License-Identifier: Apache-2.0
#include "analysis/delay_series.h"

#include <algorithm>
#include <tuple>

namespace fieldline::analysis {

void DelaySeries::Bin::merge(const Bin& other) {
  const bool first = count == 0;
  if (first || std::tie(other.min_ns, other.min_at_ns) < std::tie(min_ns, min_at_ns)) {
    min_ns = other.min_ns;
    min_at_ns = other.min_at_ns;
  }
  max_ns = first ? other.max_ns : std::max(max_ns, other.max_ns);
  count += other.count;
  sum_ns += other.sum_ns;
}

void DelaySeries::add(const DelaySample& sample) {
  const auto [time, delay] = sample;
  bins_.at(time).merge({time, 1, delay, delay, static_cast<double>(delay), time});
}

std::vector<std::optional<std::int64_t>> p99_of(const DelaySeries& series,
                                                std::vector<DelaySample> samples) {
  constexpr std::size_t kTogether = 100;
  std::sort(samples.begin(), samples.end(),
            [](const DelaySample& a, const DelaySample& b) { return a.time_ns < b.time_ns; });
  const auto& bins = series.bins();
  std::vector<std::optional<std::int64_t>> told(bins.size());
  std::vector<std::int64_t> delays;
  auto sample = samples.begin();
  std::size_t first = 0;  // of the bins that are told together
  for (std::size_t at = 0; at < bins.size(); ++at) {
    const std::uint64_t end = bins[at].from_ns + series.width_ns();
    for (; sample != samples.end() && sample->time_ns < end; ++sample)
      delays.push_back(sample->delay_ns);
    if (delays.size() < kTogether) continue;
    const auto rank = static_cast<std::ptrdiff_t>((delays.size() * 99 + 99) / 100 - 1);
    std::nth_element(delays.begin(), delays.begin() + rank, delays.end());
    std::fill(told.begin() + static_cast<std::ptrdiff_t>(first),
              told.begin() + static_cast<std::ptrdiff_t>(at) + 1,
              delays[static_cast<std::size_t>(rank)]);
    first = at + 1;
    delays.clear();
  }
  return told;
}

}  // namespace fieldline::analysis
