// SPDX-License-Identifier: Apache-2.0
// How large what passes is, and how far apart: what MAGNeT's paper compares between the application
// and the wire (section IV, fig. 8 and table II).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fieldline::analysis {

// Counts by size in eight steps to each power of two, so that a percentile is known to one part in
// eight; count, least, greatest, mean and deviation are exact.
class Spread {
 public:
  void add(std::uint64_t value);
  void merge(const Spread& other);

  std::uint64_t count() const { return count_; }
  std::uint64_t least() const { return count_ ? least_ : 0; }
  std::uint64_t greatest() const { return greatest_; }
  double mean() const { return mean_; }
  double deviation() const;                          // of the sample
  std::uint64_t percentile(unsigned percent) const;  // the upper end of its step; 0 without values

 private:
  std::uint64_t count_ = 0, least_ = UINT64_MAX, greatest_ = 0;
  double mean_ = 0, squares_ = 0;  // Welford 1962
  std::vector<std::uint64_t> steps_;
};

// One layer of a host, or one vantage point, of one flow's direction. Fed in order of time.
class Spacing {
 public:
  void see(std::uint64_t time_ns, std::uint64_t bytes);
  // Of the same flow at a point that several ports share; the gaps between them are not seen.
  void merge(const Spacing& other);

  const Spread& sizes() const { return sizes_; }  // bytes
  const Spread& gaps() const { return gaps_; }    // ns, one less than sizes
  std::uint64_t bytes() const { return bytes_; }

 private:
  Spread sizes_, gaps_;
  std::uint64_t bytes_ = 0, last_ns_ = 0;
};

}  // namespace fieldline::analysis
