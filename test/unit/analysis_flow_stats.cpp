// SPDX-License-Identifier: Apache-2.0
// Counts per flow: what was sent again, what only asks, and which acknowledgements give a round
// trip.
#include <catch2/catch.hpp>

#include "analysis/flow_stats.h"

using namespace fieldline;
using namespace fieldline::analysis;

namespace {

constexpr std::uint64_t kMs = 1'000'000;
constexpr std::uint8_t kPlain = kAck;

// A sends, B acknowledges, both seen at one place.
class Tap {
 public:
  Sending send(std::uint64_t ms, std::uint32_t sequence, std::uint32_t payload,
               std::uint8_t flags = kPlain, std::uint32_t tsval = 0) {
    const Sighting sighting = make(false, ms, sequence, 1, payload, flags, 500, tsval, 0);
    ends[1].see_opposite(sighting, senders[1].see_ack(sighting));
    const Sending sending = senders[0].see(sighting.seen);
    ends[0].see(sighting, sending);
    return sending;
  }
  Acknowledged acknowledge(std::uint64_t ms, std::uint32_t ack, std::uint16_t window = 500,
                           std::uint32_t tsecr = 0) {
    const Sighting sighting = make(true, ms, 1, ack, 0, kPlain, window, tsecr ? 7 : 0, tsecr);
    const Acknowledged acknowledged = senders[0].see_ack(sighting);
    ends[0].see_opposite(sighting, acknowledged);
    ends[1].see(sighting, senders[1].see(sighting.seen));
    return acknowledged;
  }
  FlowCounts sent() const { return ends[0].counts().at(flow); }
  FlowCounts answered() const { return ends[1].counts().at(flow); }

  FlowTable flows;
  Retransmissions senders[2] = {{flows, false}, {flows, true}};
  FlowStats ends[2] = {FlowStats(flows), FlowStats(flows)};
  std::uint16_t port = 40'000;
  std::uint32_t flow = 0;

 private:
  Sighting make(bool reverse, std::uint64_t ms, std::uint32_t sequence, std::uint32_t ack,
                std::uint32_t payload, std::uint8_t flags, std::uint16_t window,
                std::uint32_t tsval, std::uint32_t tsecr) {
    PacketInfo packet;
    packet.network = packet.transport = true;
    packet.protocol = kTcp;
    (reverse ? packet.dst : packet.src).bytes[15] = 1;
    (reverse ? packet.src : packet.dst).bytes[15] = 2;
    (reverse ? packet.dport : packet.sport) = port;
    (reverse ? packet.sport : packet.dport) = 5201;
    packet.payload = payload;
    packet.ip_id = ++id_;
    packet.tcp.sequence = sequence;
    packet.tcp.ack = ack;
    packet.tcp.flags = flags;
    packet.tcp.window = window;
    packet.tcp.has_timestamp = tsval != 0;
    packet.tcp.tsval = tsval;
    packet.tcp.tsecr = tsecr;
    flow = flows.number(packet, reverse);
    return sighting_of(packet, flow, id_, ms * kMs);
  }
  std::uint16_t id_ = 0;
};

using Kind = Sending::Kind;

}  // namespace

TEST_CASE("an acknowledgement that ends with a segment gives its round trip") {
  Tap tap;
  tap.send(0, 999, 0, kSyn);
  CHECK(tap.acknowledge(20, 1000).rtt_ns == 20 * kMs);
  tap.send(21, 1000, 100);
  tap.send(22, 1100, 100);
  tap.send(23, 1200, 100);
  CHECK(tap.acknowledge(45, 1200).rtt_ns == 23 * kMs);  // the second; the first is within
  CHECK_FALSE(tap.acknowledge(46, 1250).rtt_ns);        // inside a segment
  CHECK_FALSE(tap.acknowledge(47, 1300).rtt_ns);        // its rest
  const FlowCounts sent = tap.sent();
  CHECK(sent.packets == 4);
  CHECK(sent.data_packets == 3);
  CHECK(sent.unique_bytes() == 300);
  CHECK(sent.rtt.samples == 2);
  CHECK(sent.rtt.min_ns == 20 * kMs);
  CHECK(sent.rtt.max_ns == 23 * kMs);
  CHECK(sent.rtt.mean_ns == Approx(21.5 * kMs));
  CHECK(sent.rtt.stdev_ns() == Approx(1.5 * kMs * std::sqrt(2.0)));
  CHECK(tap.answered().acks == 4);
}

TEST_CASE("what was sent again, and what was sent before it did, gives no round trip") {
  Tap tap;
  tap.send(0, 1000, 100);
  tap.send(1, 1100, 100);
  tap.acknowledge(10, 1000);
  const Sending again = tap.send(30, 1000, 100);
  CHECK(again.kind == Kind::again);
  CHECK(again.repeated == 100);
  CHECK_FALSE(tap.acknowledge(50, 1200).rtt_ns);
  CHECK(tap.sent().again_packets == 1);
  CHECK(tap.sent().again_bytes == 100);
  CHECK(tap.sent().unique_bytes() == 200);
}

TEST_CASE("echoed timestamps give the round trip of what was sent again") {
  Tap tap;
  tap.send(0, 1000, 100, kPlain, 50);
  tap.send(1, 1000, 100, kPlain, 51);
  CHECK_FALSE(tap.acknowledge(21, 1100, 500, 51).rtt_ns);
  tap.send(22, 1100, 100, kPlain, 60);
  tap.send(23, 1200, 100, kPlain, 60);  // the echo is of the first that has the value
  tap.acknowledge(42, 1300, 500, 60);
  const RttStats echoed = tap.sent().rtt_echoed;
  CHECK(echoed.samples == 2);
  CHECK(echoed.min_ns == 20 * kMs);
  CHECK(echoed.max_ns == 20 * kMs);
}

TEST_CASE("keep-alives and window probes are not sent again") {
  Tap tap;
  tap.send(0, 1000, 100);
  tap.acknowledge(20, 1100);
  CHECK(tap.send(1000, 1099, 0).kind == Kind::probe);
  CHECK(tap.send(2000, 1099, 1).kind == Kind::probe);
  tap.acknowledge(2020, 1100, 0);
  CHECK(tap.send(3000, 1099, 0).kind == Kind::probe);
  CHECK(tap.send(3500, 1100, 1).kind == Kind::probe);
  CHECK(tap.send(4000, 1100, 1).kind == Kind::probe);
  tap.acknowledge(4020, 1100, 500);
  CHECK(tap.send(4021, 1100, 100).kind == Kind::fresh);
  const FlowCounts sent = tap.sent();
  CHECK(sent.keep_alives == 2);
  CHECK(sent.window_probes == 3);
  CHECK(sent.again_packets == 0);
  CHECK(tap.answered().zero_windows == 1);
}

TEST_CASE("a FIN that is sent again after its acknowledgement counts") {
  Tap tap;
  tap.send(0, 1000, 100);
  tap.send(1, 1100, 0, kAck | kFin);
  tap.acknowledge(20, 1101);
  CHECK(tap.send(30, 1100, 0, kAck | kFin).kind == Kind::again);
  CHECK(tap.sent().fins == 2);
}

TEST_CASE("what was overtaken at a capture's begin was not sent again") {
  Tap tap;
  CHECK(tap.send(0, 1100, 100).kind == Kind::fresh);
  CHECK(tap.send(1, 1000, 100).kind == Kind::late);
  CHECK(tap.send(2, 1000, 100).kind == Kind::again);
}

TEST_CASE("a part of a segment that was sent before counts by its bytes") {
  Tap tap;
  tap.send(0, 1000, 100);
  const Sending sending = tap.send(1, 1050, 100);
  CHECK(sending.kind == Kind::again);
  CHECK(sending.repeated == 50);
  tap.acknowledge(2, 1060);
  CHECK(tap.send(3, 1000, 150).repeated == 150);
}

TEST_CASE("the sequence wraps, and the counts do not notice") {
  Tap tap;
  std::uint32_t sequence = 0xffffff80;
  for (unsigned i = 0; i < 4; ++i, sequence += 100) tap.send(i, sequence, 100);
  CHECK(tap.send(5, 0xffffffe4, 100).kind == Kind::again);
  CHECK(tap.acknowledge(20, sequence).rtt_ns == std::nullopt);  // what it covers was sent again
  CHECK(tap.sent().again_bytes == 100);
}

TEST_CASE("duplicate acknowledgements ask for data that is under way") {
  Tap tap;
  tap.send(0, 1000, 100);
  tap.acknowledge(20, 1100);
  tap.acknowledge(21, 1100);  // nothing is under way
  for (unsigned i = 0; i < 4; ++i) tap.send(22 + i, 1100 + i * 100, 100);
  tap.acknowledge(40, 1100);
  tap.acknowledge(41, 1100);
  tap.acknowledge(42, 1100, 400);  // a window update
  CHECK(tap.answered().duplicate_acks == 2);
}

TEST_CASE("flows beyond the bound are counted together") {
  Tap tap;
  for (std::size_t i = 0; i < FlowStats::kFlowsMax + 3; ++i) {
    tap.port = static_cast<std::uint16_t>(i);
    Sighting sighting;
    sighting.seen.flow = static_cast<std::uint32_t>(i);
    sighting.seen.payload = 10;
    PacketInfo packet;
    packet.transport = true;
    packet.protocol = kUdp;
    packet.sport = static_cast<std::uint16_t>(i);
    packet.dport = static_cast<std::uint16_t>(i >> 16);
    CHECK(tap.flows.number(packet, false) == i);
    tap.ends[0].see(sighting, {});
  }
  CHECK(tap.ends[0].counts().size() == FlowStats::kFlowsMax);
  CHECK(tap.ends[0].others().packets == 3);
  CHECK(tap.ends[0].others().payload_bytes == 30);
}

TEST_CASE("what nobody acknowledges is forgotten, not kept without end") {
  Tap tap;
  constexpr std::uint32_t kSegments = (1 << 20) + 10;
  for (std::uint32_t i = 0; i < kSegments; ++i) tap.send(i, 1 + i * 100, 100);
  CHECK(tap.send(kSegments, 1, 100).kind == Kind::late);
  CHECK(tap.send(kSegments, 1 + 100 * (kSegments - 1), 100).kind == Kind::again);
}
