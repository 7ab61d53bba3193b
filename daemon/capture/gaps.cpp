// SPDX-License-Identifier: Apache-2.0
#include "capture/gaps.h"

#include <algorithm>

namespace fieldline::capture {

namespace {

constexpr std::uint64_t kGapEnds = 1'000'000'000;

}  // namespace

// CPUs hand over one after another, so that a later batch may hold the earlier record.
void Gaps::note(const Gap& dropped) {
  const bool goes_on = !gaps_.empty() && (gaps_.size() == kMost ||
                                          dropped.from_ns < gaps_.back().until_ns + kGapEnds);
  if (!goes_on) return gaps_.push_back(dropped);
  Gap& gap = gaps_.back();
  gap.from_ns = std::min(gap.from_ns, dropped.from_ns);
  gap.until_ns = std::max(gap.until_ns, dropped.until_ns);
  gap.count += dropped.count;
}

}  // namespace fieldline::capture
