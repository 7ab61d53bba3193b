// SPDX-License-Identifier: Apache-2.0
// When records of a run were dropped, by the records' own times.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fieldline::capture {

struct Gap {
  std::uint64_t from_ns = 0, until_ns = 0;  // UTC, of the first and the last that was dropped
  std::uint64_t count = 0;
};

// A second without a drop ends a gap; the last of kMost goes on to the end, so that the counts sum
// up to all that was dropped.
class Gaps {
 public:
  static constexpr std::size_t kMost = 64;

  void note(const Gap& dropped);
  const std::vector<Gap>& list() const { return gaps_; }

 private:
  std::vector<Gap> gaps_;
};

}  // namespace fieldline::capture
