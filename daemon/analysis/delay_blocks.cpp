// SPDX-License-Identifier: Apache-2.0
#include "analysis/delay_blocks.h"

#include <algorithm>
#include <map>

namespace fieldline::analysis {
namespace {

struct Block {
  double sum_ns = 0, count = 0;
  std::int64_t min_ns = INT64_MAX, max_ns = INT64_MIN;
};
using Blocks = std::map<std::uint64_t, Block>;

double apart(std::int64_t low, std::int64_t high) {
  return static_cast<double>(high) - static_cast<double>(low);
}

// A block that is farther below all others than their own least ones are from each other is another
// clock's (one that was set, and back): what its delays are by that is nothing to the rest.
void drop_outlier(Blocks& blocks) {
  const auto lower = [](const auto& a, const auto& b) { return a.second.min_ns < b.second.min_ns; };
  const auto lowest = std::min_element(blocks.begin(), blocks.end(), lower);
  std::int64_t least = INT64_MAX, most = INT64_MIN;
  for (auto at = blocks.begin(); at != blocks.end(); ++at) {
    if (at == lowest) continue;
    least = std::min(least, at->second.min_ns);
    most = std::max(most, at->second.min_ns);
  }
  if (apart(lowest->second.max_ns, least) > apart(least, most)) blocks.erase(lowest);
}

constexpr std::size_t kWrongMost = 3;

std::int64_t after(std::size_t wrong, std::vector<std::int64_t>& delays) {
  if (delays.size() <= wrong) return INT64_MAX;
  const auto at = delays.begin() + static_cast<std::ptrdiff_t>(wrong);
  std::nth_element(delays.begin(), at, delays.end());
  return *at;
}

// Single packets may be stamped wrongly: one in a thousand, and no more than three, because a share
// of a fast path's packets is what passed before its queue stood. So many are in no more bins than
// that, so that the least of the bins, which are of all packets, are as good as the samples.
std::int64_t least_of(const Section& section, const Blocks& blocks, std::uint64_t block_ns) {
  std::vector<std::int64_t> delays, least;
  for (const DelaySample& sample : section.delay_samples) {
    if (blocks.contains(sample.time_ns / block_ns)) delays.push_back(sample.delay_ns);
  }
  for (const auto& bin : section.delays.bins()) {
    if (bin.count > 0 && blocks.contains(bin.from_ns / block_ns)) least.push_back(bin.min_ns);
  }
  if (delays.empty()) return section.delay.min_ns;
  const std::size_t wrong = std::min(delays.size() / 1000, kWrongMost);
  return std::min(after(wrong, delays), after(wrong, least));
}

}  // namespace

DelayBlocks delay_blocks(const Section& section, std::uint64_t block_ns, std::size_t blocks_least) {
  Blocks blocks;
  for (const auto& bin : section.delays.bins()) {
    Block& block = blocks[bin.from_ns / block_ns];
    block.sum_ns += bin.sum_ns;
    block.count += static_cast<double>(bin.count);
    block.min_ns = std::min(block.min_ns, bin.min_ns);
    block.max_ns = std::max(block.max_ns, bin.max_ns);
  }
  if (blocks.size() > blocks_least) drop_outlier(blocks);
  DelayBlocks told{least_of(section, blocks, block_ns), {}};
  for (const auto& [at, block] : blocks)
    told.above_ms.push_back((block.sum_ns / block.count - static_cast<double>(told.least_ns)) /
                            1e6);
  return told;
}

}  // namespace fieldline::analysis
