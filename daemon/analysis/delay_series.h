// SPDX-License-Identifier: Apache-2.0
// The delays of a section by time, of a run of any length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "analysis/time_bins.h"

namespace fieldline::analysis {

// A packet that both ends of a section showed: when by the upstream point's clock, and the
// difference of the two clocks' readings.
struct DelaySample {
  std::uint64_t time_ns = 0;
  std::int64_t delay_ns = 0;
};

class DelaySeries {
 public:
  static constexpr std::size_t kBinsMax = 4096;
  static constexpr std::uint64_t kWidthNs = 100'000'000;  // at first

  struct Bin {
    std::uint64_t from_ns = 0;  // of the upstream point's clock
    std::uint64_t count = 0;
    std::int64_t min_ns = 0, max_ns = 0;
    double sum_ns = 0;            // not an integer: hostile delays must not overflow it
    std::uint64_t min_at_ns = 0;  // the first packet of this minimum

    void merge(const Bin& other);
  };

  void add(const DelaySample& sample);

  std::uint64_t width_ns() const { return bins_.width_ns(); }
  const std::vector<Bin>& bins() const { return bins_.bins(); }  // by time

 private:
  TimeBins<Bin> bins_{kWidthNs, kBinsMax};
};

// Of each bin, together with those next behind it that make it 100 samples, the 99th percentile
// (nearest rank): all bins of one hundred have the same. None where the series ends before that.
std::vector<std::optional<std::int64_t>> p99_of(const DelaySeries& series,
                                                std::vector<DelaySample> samples);

}  // namespace fieldline::analysis
