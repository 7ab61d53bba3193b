// SPDX-License-Identifier: Apache-2.0
#include "analysis/delay_series.h"

#include <algorithm>
#include <tuple>

namespace fieldline::analysis {
namespace {

void merge(DelaySeries::Bin& into, const DelaySeries::Bin& other) {
  if (std::tie(other.min_ns, other.min_at_ns) < std::tie(into.min_ns, into.min_at_ns)) {
    into.min_ns = other.min_ns;
    into.min_at_ns = other.min_at_ns;
  }
  into.max_ns = std::max(into.max_ns, other.max_ns);
  into.count += other.count;
  into.sum_ns += other.sum_ns;
}

}  // namespace

void DelaySeries::add(const DelaySample& sample) {
  const auto [time, delay] = sample;
  Bin& bin = bin_of(time);
  const Bin one{bin.from_ns, 1, delay, delay, static_cast<double>(delay), time};
  if (bin.count == 0) {
    bin = one;
  } else {
    merge(bin, one);
  }
  if (bins_.size() > kBinsMax) widen();
}

DelaySeries::Bin& DelaySeries::bin_of(std::uint64_t time_ns) {
  const std::uint64_t from = time_ns - time_ns % width_ns_;
  if (last_ < bins_.size() && bins_[last_].from_ns == from) return bins_[last_];
  auto at = bins_.end();
  if (!bins_.empty() && bins_.back().from_ns >= from) {
    at = std::lower_bound(bins_.begin(), bins_.end(), from,
                          [](const Bin& bin, std::uint64_t time) { return bin.from_ns < time; });
  }
  last_ = static_cast<std::size_t>(at - bins_.begin());
  if (at == bins_.end() || at->from_ns != from) bins_.insert(at, Bin{from, 0, 0, 0, 0, 0});
  return bins_[last_];
}

// Ends: so many bins do not fit into 64 bits of time at any width above 2^52 ns.
void DelaySeries::widen() {
  while (bins_.size() > kBinsMax) {
    width_ns_ *= 2;
    std::size_t kept = 0;
    for (std::size_t at = 0; at < bins_.size(); ++at) {
      Bin bin = bins_[at];
      bin.from_ns -= bin.from_ns % width_ns_;
      if (kept > 0 && bins_[kept - 1].from_ns == bin.from_ns) {
        merge(bins_[kept - 1], bin);
      } else {
        bins_[kept++] = bin;
      }
    }
    bins_.resize(kept);
  }
  last_ = bins_.size();
}

}  // namespace fieldline::analysis
