// SPDX-License-Identifier: Apache-2.0
// What one section says of more left-over packets than it keeps.
#include "analysis/section.h"

#include <netinet/in.h>

#include <catch2/catch.hpp>

using namespace fieldline::analysis;

namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kDelay = 1'000'000;
constexpr std::uint8_t kRank = 40;

// Packets of one TCP flow between two points that both looked all the time.
class Between {
 public:
  Between() {
    PacketInfo info;
    info.transport = true;
    info.protocol = IPPROTO_TCP;
    flow_ = flows_.number(info, false);
    side_.watch.final = true;
  }

  Observation packet(std::uint32_t sequence, std::uint64_t time, std::uint16_t payload = 100) {
    Observation seen;
    seen.digest = ++digest_;
    seen.flow = flow_;
    seen.sequence = sequence;
    seen.payload = payload;
    seen.flags = kCarriesTcp;
    seen.time = time;
    return seen;
  }
  void passes(const Observation& packet) {
    const std::uint64_t up = packet.time, down = up + kDelay;
    matcher_.join(packet, kRank, {&up, 1}, {&down, 1}, 0);
  }
  void vanishes(const Observation& packet) {
    const std::uint64_t up = packet.time;
    matcher_.join(packet, kRank, {&up, 1}, {}, 0);
  }
  void appears(const Observation& packet) {
    const std::uint64_t down = packet.time + kDelay;
    matcher_.join(packet, kRank, {}, {&down, 1}, 0);
  }
  void decide() { matcher_.decide(side_, side_, flows_, false); }
  Section fill() {
    Section section;
    matcher_.fill(side_, side_, flows_, false, section);
    return section;
  }

 private:
  FlowTable flows_;
  std::uint32_t flow_ = 0;
  std::uint64_t digest_ = 0;
  Side side_;
  SectionMatcher matcher_;
};

}  // namespace

TEST_CASE("bytes that may have come in pieces for which there was no room are not called lost") {
  const bool full = GENERATE(false, true);
  const bool at_the_end = GENERATE(false, true);
  Between between;
  between.passes(between.packet(0, 100 * kSecond));
  const std::uint64_t then = 104 * kSecond;
  for (std::uint32_t at = 0; at < kListedMax - (full ? 0 : 1); ++at)
    between.appears(between.packet(1'000'000 + at * 200, then));
  // Upstream one packet, downstream the same bytes and those next to them.
  between.vanishes(between.packet(500'000, then, 100));
  between.appears(between.packet(500'000, then, 1000));
  // Far from all of that in time one is lost, and of those near that carry no data.
  between.vanishes(between.packet(600'000, 110 * kSecond));
  Observation bare = between.packet(700'000, then, 0);
  between.vanishes(bare);
  between.passes(between.packet(1000, 130 * kSecond));
  if (!at_the_end) between.decide();
  const Section section = between.fill();
  CHECK(section.lost == 2u);
  CHECK(section.undecided == 1);
  CHECK(section.recut == (full ? 0u : 1u));
}

TEST_CASE("room is made of what came before anything had passed") {
  Between between;
  for (std::uint32_t at = 0; at < kListedMax; ++at)
    between.appears(between.packet(1'000'000 + at * 200, 100 * kSecond));
  between.passes(between.packet(0, 104 * kSecond));
  between.vanishes(between.packet(500'000, 106 * kSecond, 100));
  between.appears(between.packet(500'000, 106 * kSecond, 1000));
  between.passes(between.packet(1000, 130 * kSecond));
  const Section section = between.fill();
  CHECK(section.lost == 0u);
  CHECK(section.recut == 1);
}
