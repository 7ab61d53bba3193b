// SPDX-License-Identifier: Apache-2.0
// Something summed by time, of a run of any length, in bounded memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace fieldline::analysis {

// Bins of one width, aligned to multiples of it; those that were not asked for are not held. Of too
// many, neighbours are merged and the width doubles: the bins are the same in whatever order they
// are met. Bin has from_ns, begins as Bin{from_ns}, and merge(Bin) of the neighbour.
template <class Bin>
class TimeBins {
 public:
  explicit TimeBins(std::uint64_t width_ns, std::size_t most = 4096)
      : width_ns_(width_ns), most_(most) {}

  std::uint64_t width_ns() const { return width_ns_; }
  const std::vector<Bin>& bins() const { return bins_; }  // by time

  // Valid until the next call.
  Bin& at(std::uint64_t time_ns) {
    if (last_ < bins_.size() && time_ns - bins_[last_].from_ns < width_ns_) return bins_[last_];
    if (bins_.size() >= most_ && !find(time_ns)) widen();
    if (Bin* met = find(time_ns)) return *met;
    const std::uint64_t from = from_of(time_ns);
    const auto place = lower(from);
    last_ = static_cast<std::size_t>(place - bins_.begin());
    return *bins_.insert(place, Bin{from});
  }

 private:
  std::uint64_t from_of(std::uint64_t time_ns) const { return time_ns - time_ns % width_ns_; }

  auto lower(std::uint64_t from) {
    return std::lower_bound(bins_.begin(), bins_.end(), from,
                            [](const Bin& bin, std::uint64_t time) { return bin.from_ns < time; });
  }

  Bin* find(std::uint64_t time_ns) {
    const std::uint64_t from = from_of(time_ns);
    const auto place = lower(from);
    if (place == bins_.end() || place->from_ns != from) return nullptr;
    last_ = static_cast<std::size_t>(place - bins_.begin());
    return &*place;
  }

  // Ends: that many bins do not fit into 64 bits of time at any width above 2^52 ns.
  void widen() {
    while (bins_.size() >= most_) {
      width_ns_ *= 2;
      std::size_t kept = 0;
      for (std::size_t at = 0; at < bins_.size(); ++at) {
        Bin bin = bins_[at];
        bin.from_ns = from_of(bin.from_ns);
        if (kept > 0 && bins_[kept - 1].from_ns == bin.from_ns) {
          bins_[kept - 1].merge(bin);
        } else {
          bins_[kept++] = bin;
        }
      }
      bins_.erase(bins_.begin() + static_cast<std::ptrdiff_t>(kept), bins_.end());
    }
    last_ = bins_.size();
  }

  std::uint64_t width_ns_;
  std::size_t most_;
  std::vector<Bin> bins_;
  std::size_t last_ = 0;  // met last
};

// [from, to) of a series, as visit(bin, ns) of each bin that it touches. A stretch of hostile
// length touches a bounded number of them, since too many make them wider.
template <class Series, class Visit>
void add_over(Series& series, std::uint64_t from_ns, std::uint64_t to_ns, Visit visit) {
  while (from_ns < to_ns) {
    auto& bin = series.at(from_ns);
    const std::uint64_t left = series.width_ns() - (from_ns - bin.from_ns);
    const std::uint64_t part = std::min(to_ns - from_ns, left);
    visit(bin, part);
    from_ns += part;
  }
}

// The bins that overlap [from, to).
template <class Series, class Visit>
void for_overlap(const Series& series, std::uint64_t from_ns, std::uint64_t to_ns, Visit visit) {
  const auto& bins = series.bins();
  const std::uint64_t width = series.width_ns();
  auto at =
      std::lower_bound(bins.begin(), bins.end(), from_ns, [&](const auto& bin, std::uint64_t time) {
        return bin.from_ns < time && time - bin.from_ns >= width;
      });
  for (; at != bins.end() && at->from_ns < to_ns; ++at) visit(*at);
}

}  // namespace fieldline::analysis
