// SPDX-License-Identifier: Apache-2.0
// Overtaken, or sent again? Where neither IP ids nor timestamps tell.
#include <netinet/in.h>

#include <catch2/catch.hpp>

#include "analysis/sender_holes.h"

using namespace fieldline::analysis;

namespace {

constexpr std::uint64_t kMs = 1'000'000;

struct Flow {
  FlowTable flows;
  std::uint32_t number;

  Flow() {
    PacketInfo info;
    info.transport = true;
    info.protocol = IPPROTO_TCP;
    number = flows.number(info, false);
  }
  Observation data(std::uint32_t sequence, std::uint64_t at_ms) const {
    Observation seen;
    seen.flow = number;
    seen.sequence = sequence;
    seen.payload = 100;
    seen.flags = kCarriesTcp;
    seen.time = at_ms * kMs;
    return seen;
  }
  Observation ack(std::uint32_t acked, std::uint64_t at_ms) const {
    Observation seen = data(0, at_ms);
    seen.payload = 0;
    seen.flags = kAck;
    seen.ack = acked;
    return seen;
  }
};

// The packet behind one of so many that came before it, so much later than the one in front of it.
EndEvidence late(std::uint32_t overtakers, std::uint64_t after_ms,
                 std::optional<std::uint64_t> rtt_ms) {
  const Flow flow;
  SenderHoles holes(flow.flows, false);
  holes.see(flow.data(1000, 100));
  if (rtt_ms) holes.see_ack(flow.ack(1100, 100 + *rtt_ms), {true, *rtt_ms * kMs});
  holes.see(flow.data(1100, 200));
  for (std::uint32_t i = 0; i < overtakers; ++i) holes.see(flow.data(1300 + i * 100, 201));
  holes.see(flow.data(1200, 200 + after_ms));
  Side side;
  side.watch.final = true;
  return holes.finish(side);
}

}  // namespace

TEST_CASE("Without acknowledgements a late packet is one that at most three have overtaken") {
  CHECK(late(3, 5, {}).reordered == 1);
  CHECK(late(3, 5, {}).lost == 0u);
  CHECK(late(4, 5, {}).reordered == 0);
  CHECK(late(4, 5, {}).lost == 1u);
}

TEST_CASE("What comes within half of the least round trip cannot have been sent again") {
  CHECK(late(40, 9, 20).lost == 0u);
  CHECK(late(40, 9, 20).reordered == 1);
  CHECK(late(40, 11, 20).lost == 1u);
  CHECK(late(40, 9, 10).lost == 1u);
}
