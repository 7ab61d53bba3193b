// SPDX-License-Identifier: Apache-2.0
// What the ends of a path conclude from sequence numbers, if a point was off in between.
#include <netinet/in.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "analysis/receiver_evidence.h"
#include "analysis/sender_holes.h"

using namespace fieldline::analysis;

namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

struct Flow {
  FlowTable flows;
  std::uint32_t number;
  std::uint16_t id = 0;
  std::vector<Gap> off;

  Flow() {
    PacketInfo info;
    info.transport = true;
    info.protocol = IPPROTO_TCP;
    number = flows.number(info, false);
  }
  Observation data(std::uint32_t sequence, double at) {
    Observation seen;
    seen.flow = number;
    seen.sequence = sequence;
    seen.payload = 100;
    seen.flags = kCarriesTcp;
    seen.ip_id = ++id;
    seen.time = static_cast<std::uint64_t>(at * kSecond);
    return seen;
  }
  Sighting ack(std::uint32_t number_acked, double at) {
    Sighting sighting;
    sighting.seen = data(0, at);
    sighting.seen.payload = 0;
    sighting.seen.flags = kAck;
    sighting.seen.ack = number_acked;
    return sighting;
  }
  // Between these seconds; none if they are the same.
  Side side(double from, double until) {
    Side side;
    side.watch.final = true;
    Gap gap;
    gap.what = Gap::What::blind;
    gap.from_ns = static_cast<std::uint64_t>(from * kSecond);
    gap.until_ns = static_cast<std::uint64_t>(until * kSecond);
    if (from < until) off = {gap};
    side.off = off;
    return side;
  }
};

}  // namespace

TEST_CASE("AHoleOfARestartIsCalledLoss: what passed the first point while it was off") {
  const bool was_off = GENERATE(false, true);
  const bool repeated = GENERATE(false, true);  // what it saw first when it was back
  Flow flow;
  SenderHoles holes(flow.flows, false);
  holes.see(flow.data(1000, 100));
  if (repeated) holes.see(flow.data(1000, 103.5));
  flow.id += 9;
  holes.see(flow.data(2000, 104));
  holes.see(flow.data(1500, 105));  // lost further down, and sent again
  const EndEvidence evidence = holes.finish(flow.side(101, was_off ? 103 : 101));
  CHECK(evidence.lost == (was_off ? 0u : 9u));
  CHECK(evidence.undecided == (was_off ? 9u : 0u));
  CHECK(evidence.packets.empty() == was_off);
  // What was sent again keeps a verdict, if none of a loss.
  CHECK(evidence.doubted.size() == (was_off ? 9u : 0u));
  const auto again = [](const LostPacket& packet) { return packet.again_ns != 0; };
  CHECK(std::count_if(evidence.doubted.begin(), evidence.doubted.end(), again) ==
        (was_off ? 1 : 0));
}

TEST_CASE("A hole of another time is lost, whenever the first point was off") {
  Flow flow;
  SenderHoles holes(flow.flows, false);
  holes.see(flow.data(1000, 100));
  ++flow.id;
  holes.see(flow.data(1200, 100.1));
  holes.see(flow.data(1100, 101));
  holes.see(flow.data(1300, 107));
  const EndEvidence evidence = holes.finish(flow.side(102, 106));
  CHECK(evidence.lost == 1u);
  CHECK(evidence.undecided == 0);
}

TEST_CASE("AnUnseenAckIsCalledLoss: it passed the last point while that was off") {
  const bool was_off = GENERATE(false, true);
  Flow flow;
  ReceiverEvidence evidence(flow.flows, false);
  evidence.see(flow.data(1000, 100));
  evidence.see(flow.data(1000, 104));
  evidence.see_ack(flow.ack(1100, 104.1));
  const EndEvidence end = evidence.finish(flow.side(101, was_off ? 103 : 101));
  CHECK(end.lost == (was_off ? 0u : 1u));
  CHECK(end.undecided == (was_off ? 1u : 0u));
  CHECK((end.note.find("it was off when the answer") != std::string::npos) == was_off);
}

TEST_CASE("AnUnseenDsackIsCalledLoss: the last point was off when it came") {
  Flow flow;
  ReceiverEvidence evidence(flow.flows, false);
  evidence.see(flow.data(1000, 100));
  evidence.see(flow.data(1000, 100.8));
  evidence.see_ack(flow.ack(1100, 104.1));
  const EndEvidence end = evidence.finish(flow.side(101, 103));
  CHECK(end.lost == 0u);
  CHECK(end.undecided == 1u);
}
