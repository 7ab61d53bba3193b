// SPDX-License-Identifier: Apache-2.0
// A section's delays by equal stretches of time, as what is above its own least: two clocks' offset
// is in both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "analysis/path.h"

namespace fieldline::analysis {

struct DelayBlocks {
  std::int64_t least_ns = 0;     // by the points' clocks
  std::vector<double> above_ms;  // mean of each block
};

// blocks_least: with fewer, none of them is taken for another clock's.
DelayBlocks delay_blocks(const Section& section, std::uint64_t block_ns, std::size_t blocks_least);

}  // namespace fieldline::analysis
