// SPDX-License-Identifier: Apache-2.0
// Captured packets behind tags and labels, inside tunnels, and cut there.
#include <catch2/catch.hpp>

#include "analysis/packet.h"
#include "test/bpf/packets.h"

using namespace fieldline;
using namespace fieldline::packets;
using analysis::kInnermost;
using analysis::kLinkEthernet;
using analysis::PacketInfo;

namespace {

const Bytes kPacket = ipv4({}, tcp({.options = Bytes(12, 1)}, filler(100)));
const Bytes kFrame = ethernet(kIpv4, kPacket);

Bytes over(std::uint8_t protocol, const Bytes& body, std::uint16_t fragment = 0x4000) {
  return ethernet(
      kIpv4,
      ipv4({.src = "10.0.0.1", .dst = "10.0.0.2", .protocol = protocol, .fragment = fragment},
           body));
}
Bytes over_udp(std::uint16_t port, const Bytes& body) {
  return over(kUdp, udp({.dport = port}, body));
}
PacketInfo parse(const Bytes& frame, unsigned depth = kInnermost) {
  return analysis::parse_packet(frame, static_cast<std::uint32_t>(frame.size()), kLinkEthernet,
                                depth);
}

std::vector<Bytes> tunnels() {
  return {
      over(4, kPacket),
      over(kGre, gre(kIpv4, kPacket)),
      over(kGre, gre(kIpv4, kPacket, 0xb000)),
      over(kGre, gre(kMpls, labelled(9, true, kPacket))),
      over(kGre, gre(kTeb, kFrame, 0x2000)),
      over(kGre, gre(kErspan2, erspan2(kFrame), 0x1000)),
      over(kGre, gre(kErspan2, kFrame)),
      over(kGre, gre(kErspan3, erspan3(kFrame), 0x1000)),
      over(kGre, gre(kErspan3, erspan3(kFrame, true), 0x1000)),
      over_udp(4789, vxlan(kFrame)),
      over_udp(4789, vxlan(ethernet(kVlan, tagged(kIpv4, kPacket)))),
      over_udp(6081, geneve(kTeb, kFrame, 3)),
      over_udp(6081, geneve(kIpv4, kPacket)),
  };
}

void require_inner(const PacketInfo& info, unsigned depth) {
  CHECK(info.problem == nullptr);
  REQUIRE(info.transport);
  CHECK(info.depth == depth);
  CHECK(info.src.to_string() == "192.0.2.1");
  CHECK(info.protocol == kTcp);
  CHECK(info.sport == 40000);
  CHECK(info.payload == 100);
  CHECK(info.body.size() == 100);
}

}  // namespace

TEST_CASE(
    "A capture's flows are those inside of tunnels; a record's those that its sensor matched") {
  for (const Bytes& frame : tunnels()) {
    CAPTURE(to_hex(frame));
    require_inner(parse(frame), 1);
    require_inner(parse(frame, 1), 1);
    const PacketInfo outer = parse(frame, 0);
    CHECK(outer.depth == 0);
    CHECK(outer.src.to_string() == "10.0.0.1");
  }
  const Bytes two = over(kGre, gre(kErspan2, erspan2(over_udp(4789, vxlan(kFrame))), 0x1000));
  require_inner(parse(two), 2);
  require_inner(parse(two, 2), 2);
  CHECK(parse(two, 1).dport == 4789);
}

TEST_CASE("What only looks like a tunnel stays what it is") {
  const Bytes cases[] = {over_udp(4789, filler(100)),
                         over_udp(6081, filler(100)),
                         over_udp(4789, vxlan(ethernet(kArp, filler(46)))),
                         over(kGre, gre(0x880b, filler(40))),
                         over(4, filler(40)),
                         over(kUdp, udp({.dport = 4789}, vxlan(kFrame)), 0x2000)};
  for (const Bytes& frame : cases) {
    CAPTURE(to_hex(frame));
    const PacketInfo info = parse(frame);
    CHECK(info.problem == nullptr);
    CHECK(info.depth == 0);
    CHECK(info.src.to_string() == "10.0.0.1");
    CHECK(parse(frame, 1).problem != nullptr);  // a sensor would not have said so
  }
}

TEST_CASE("Tunnels cut at every byte are read as far as they go") {
  for (const Bytes& frame : tunnels()) {
    for (std::size_t size = 0; size < frame.size(); ++size) {
      for (unsigned depth : {0u, 1u, 2u, kInnermost}) {
        const auto cut = ByteView(frame).first(size);
        const PacketInfo info = analysis::parse_packet(
            cut, static_cast<std::uint32_t>(frame.size()), kLinkEthernet, depth);
        CHECK(info.body.size() <= size);
        CHECK(info.depth <= 2);
        if (info.transport && info.depth == 1) CHECK(info.payload == 100);
      }
    }
  }
}

TEST_CASE("Labels, tags and protocols with ports are read") {
  require_inner(parse(ethernet(kQinq, tagged(kVlan, tagged(kIpv4, kPacket)))), 0);
  require_inner(parse(ethernet(kMpls, labelled(5, false, labelled(6, true, kPacket)))), 0);
  Bytes labels = kPacket;
  for (int i = 0; i < 9; ++i) labels = labelled(5, i == 0, labels);
  CHECK(parse(ethernet(kMpls, labels)).problem == std::string("tags_too_many"));
  CHECK(parse(over(kSctp, sctp(5000, 6000, filler(30)))).dport == 6000);
  const PacketInfo info = parse(over(kEsp, esp(0x12345678, filler(30))));
  CHECK(info.sport == 0x1234);
  CHECK(info.dport == 0x5678);
  CHECK(info.payload == 30);
}

TEST_CASE("A later fragment is told from a packet that cannot be read") {
  const PacketInfo info = parse(over(kUdp, filler(100), 185));
  CHECK(info.later_fragment);
  CHECK(info.network);
  CHECK_FALSE(info.transport);
}
