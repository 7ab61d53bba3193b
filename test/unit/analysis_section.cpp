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
    up_.watch.final = down_.watch.final = true;
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
  void vanishes(const Observation& packet, std::size_t beyond = 0) {
    const std::uint64_t up = packet.time;
    matcher_.join(packet, kRank, {&up, 1}, {}, beyond);
  }
  void appears(const Observation& packet) {
    const std::uint64_t down = packet.time + kDelay;
    matcher_.join(packet, kRank, {}, {&down, 1}, 0);
  }
  void decide() { matcher_.decide(up_, down_, flows_, false); }
  Section fill() {
    Section section;
    matcher_.fill(up_, down_, flows_, false, section);
    return section;
  }
  // One of the ends was off from a time until another.
  void is_off(bool down, std::uint64_t from_ns, std::uint64_t until_ns) {
    Gap gap;
    gap.what = Gap::What::blind;
    gap.from_ns = from_ns;
    gap.until_ns = until_ns;
    off_ = {gap};
    (down ? down_ : up_).off = off_;
  }

 private:
  FlowTable flows_;
  std::uint32_t flow_ = 0;
  std::uint64_t digest_ = 0;
  std::vector<Gap> off_;
  Side up_, down_;
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

TEST_CASE("ARestartIsCalledLoss: what came by while a point was off is undecided") {
  const bool at_the_end = GENERATE(false, true);
  Between between;
  between.is_off(true, 104 * kSecond, 106 * kSecond);
  between.passes(between.packet(0, 100 * kSecond));
  between.vanishes(between.packet(1000, 103 * kSecond));
  between.vanishes(between.packet(2000, 104 * kSecond - kEdgeNs / 2));
  between.vanishes(between.packet(3000, 105 * kSecond));
  between.vanishes(between.packet(4000, 105 * kSecond), 1);
  between.vanishes(between.packet(5000, 106 * kSecond + kEdgeNs / 2));
  between.vanishes(between.packet(6000, 107 * kSecond));
  between.passes(between.packet(7000, 130 * kSecond));
  if (!at_the_end) between.decide();
  const Section section = between.fill();
  CHECK(section.lost == 2u);
  CHECK(section.undecided == 3);
  CHECK(section.unseen == 1);
}

TEST_CASE("What the point in front did not see while it was off is not new") {
  const bool at_the_end = GENERATE(false, true);
  Between between;
  between.is_off(false, 104 * kSecond, 106 * kSecond);
  between.passes(between.packet(0, 100 * kSecond));
  between.appears(between.packet(3000, 105 * kSecond));
  between.appears(between.packet(6000, 108 * kSecond));
  between.passes(between.packet(7000, 130 * kSecond));
  if (!at_the_end) between.decide();
  CHECK(between.fill().appeared == 1u);
}
