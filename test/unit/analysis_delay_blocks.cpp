// SPDX-License-Identifier: Apache-2.0
// What two runs are compared by: delays above the least that is to be believed.
#include "analysis/delay_blocks.h"

#include <catch2/catch.hpp>

using namespace fieldline::analysis;

namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::int64_t kMs = 1'000'000;

Section section_of(const std::vector<DelaySample>& samples) {
  Section section;
  section.delay_samples = samples;
  section.delay.samples = samples.size();
  section.delay.min_ns = INT64_MAX;
  for (const DelaySample& sample : samples) {
    section.delays.add(sample);
    section.delay.min_ns = std::min(section.delay.min_ns, sample.delay_ns);
  }
  return section;
}

// 400 packets a second: 10 ms, and up to 3 more.
std::vector<DelaySample> steady(std::uint64_t seconds) {
  std::vector<DelaySample> samples;
  for (std::uint64_t at = 0; at < 400 * seconds; ++at)
    samples.push_back(
        {kSecond * 100 + at * 2'500'000, 10 * kMs + static_cast<std::int64_t>(at % 4) * kMs});
  return samples;
}

DelayBlocks blocks_of(const std::vector<DelaySample>& samples) {
  return delay_blocks(section_of(samples), kSecond, 5);
}

}  // namespace

TEST_CASE("delays are what is above the run's own least, second by second") {
  const DelayBlocks blocks = blocks_of(steady(8));
  CHECK(blocks.least_ns == 10 * kMs);
  REQUIRE(blocks.above_ms.size() == 8);
  for (const double above : blocks.above_ms) CHECK(above == Approx(1.5));
}

TEST_CASE("one packet that is stamped wrongly does not move all the others") {
  auto samples = steady(8);
  samples[1700].delay_ns = -3000 * kMs;
  const DelayBlocks blocks = blocks_of(samples);
  CHECK(blocks.least_ns == 10 * kMs);
  CHECK(blocks.above_ms.at(0) == Approx(1.5));
}

TEST_CASE("a second of another clock is left out") {
  auto samples = steady(8);
  for (std::size_t at = 1200; at < 1600; ++at) samples[at].delay_ns -= 40 * kMs;
  const DelayBlocks blocks = blocks_of(samples);
  CHECK(blocks.least_ns == 10 * kMs);
  CHECK(blocks.above_ms.size() == 7);
}

TEST_CASE("a queue that is empty at the begin alone is still a queue") {
  auto samples = steady(8);
  for (std::size_t at = 0; at < samples.size(); ++at)
    samples[at].delay_ns += std::min<std::int64_t>(static_cast<std::int64_t>(at) / 4, 90) * kMs;
  const DelayBlocks blocks = blocks_of(samples);
  CHECK(blocks.above_ms.size() == 8);
  CHECK(blocks.least_ns < 13 * kMs);
  CHECK(blocks.above_ms.back() > 85);
}

TEST_CASE("on a fast path a queue that stands from the first packets on is a queue") {
  std::vector<DelaySample> samples;
  for (std::uint64_t at = 0; at < 200'000; ++at)
    samples.push_back({kSecond * 100 + at * 40'000, at < 50 ? kMs / 10 : 20 * kMs});
  for (const std::size_t wrong : {5'000u, 50'000u, 150'000u}) samples[wrong].delay_ns = -kMs;
  const DelayBlocks blocks = blocks_of(samples);
  CHECK(blocks.least_ns == kMs / 10);
  REQUIRE(blocks.above_ms.size() == 8);
  CHECK(blocks.above_ms.back() == Approx(19.9));
}

TEST_CASE("of a few seconds none is left out") {
  auto samples = steady(4);
  for (std::size_t at = 0; at < 400; ++at) samples[at].delay_ns -= 40 * kMs;
  CHECK(blocks_of(samples).above_ms.size() == 4);
}
