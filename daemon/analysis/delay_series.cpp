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

}  // namespace fieldline::analysis
