// SPDX-License-Identifier: Apache-2.0
// What the classifier reads out of each kind of packet, and why it looks no further at others.
#include <linux/bpf.h>

#include <catch2/catch.hpp>

#include "bench.h"
#include "oracle.h"
#include "packets.h"

namespace fieldline {
namespace {

using namespace packets;

const auto kFlow6 = key_of("2001:db8::1", "2001:db8:1::2", kTcp, 40000, 443);

// The frame matches the key and its headers end at header_end.
void require_match(const Bytes& frame, const fl_flow_key& key, std::size_t header_end) {
  Bench bench;
  bench.apply({entry(key, exact_mask(), 3)});
  const Lifted got = bench.lift_of(frame);
  CHECK(got.lift.cap_len == header_end);
  CHECK(got.lift.wire_len == frame.size());
  CHECK(got.frame == Bytes(frame.begin(), frame.begin() + static_cast<long>(header_end)));
  CHECK(got.lift.hits == 1);
  CHECK(got.lift.slots[0] == 3);
  const bool is_tunnel = key.protocol == kGre;
  CHECK(got.lift.flags == (FL_LIFT_ASCENDING | (is_tunnel ? FL_LIFT_TUNNEL : 0)));
  CHECK(bench.flow(3).packets == 1);
  CHECK(bench.flow(3).bytes == frame.size());
  require_port_sums(bench.port(), 0);
}

// Counted for that reason alone.
void require_reason(const Bytes& frame, __u64 fl_port_counters::*reason) {
  Bench bench;
  bench.apply({default_entry(), entry(kFlow6, exact_mask(), 1)});
  CHECK(bench.run(frame) == XDP_DROP);
  CHECK(bench.port().*reason == 1);
  CHECK(bench.port().packets == 1);
  CHECK(bench.port().bytes == frame.size());
  require_port_sums(bench.port(), 0);
}

}  // namespace

TEST_CASE("TCP over IPv4 is lifted to the end of the TCP options") {
  const auto key = key_of("192.0.2.1", "198.51.100.2", kTcp, 40000, 443);
  const std::size_t options = GENERATE(0, 4, 12, 40), ip_options = GENERATE(0, 4, 40);
  require_match(ethernet(kIpv4, ipv4({.options = Bytes(ip_options, 1)},
                                     tcp({.options = Bytes(options, 1)}, filler(100)))),
                key, 14 + 20 + ip_options + 20 + options);
}

TEST_CASE("UDP, ICMP and protocols without ports over IPv4") {
  require_match(ethernet(kIpv4, ipv4({.protocol = kUdp}, udp({}, filler(64)))),
                key_of("192.0.2.1", "198.51.100.2", kUdp, 40000, 443), 42);
  require_match(ethernet(kIpv4, ipv4({.protocol = kIcmp}, icmp(8, filler(64)))),
                key_of("192.0.2.1", "198.51.100.2", kIcmp), 42);
  require_match(ethernet(kIpv4, ipv4({.protocol = kGre}, filler(64))),
                key_of("192.0.2.1", "198.51.100.2", kGre), 34);
}

TEST_CASE("TCP, UDP and ICMPv6 over IPv6") {
  require_match(ethernet(kIpv6, ipv6({}, tcp({.options = Bytes(12, 1)}, filler(9)))), kFlow6, 86);
  require_match(ethernet(kIpv6, ipv6({.next = kUdp}, udp({}, filler(64)))),
                key_of("2001:db8::1", "2001:db8:1::2", kUdp, 40000, 443), 62);
  require_match(ethernet(kIpv6, ipv6({.next = kIcmpV6}, icmp(128, filler(64)))),
                key_of("2001:db8::1", "2001:db8:1::2", kIcmpV6), 62);
}

TEST_CASE("IPv6 extension headers are followed") {
  const Bytes inner = tcp({}, filler(10));
  require_match(ethernet(kIpv6, ipv6({.next = 0}, extension(kTcp) + inner)), kFlow6,
                14 + 40 + 8 + 20);
  require_match(
      ethernet(kIpv6, ipv6({.next = 0}, extension(60, 2) + extension(43, 1) + extension(51) +
                                            authentication(kTcp) + inner)),
      kFlow6, 14 + 40 + 24 + 16 + 8 + 24 + 20);
  // An atomic fragment, and the first of several.
  require_match(ethernet(kIpv6, ipv6({.next = 44}, fragment(kTcp, 0, 99) + inner)), kFlow6, 82);
  require_match(ethernet(kIpv6, ipv6({.next = 44}, fragment(kTcp, 1, 99) + inner)), kFlow6, 82);
}

TEST_CASE("Eight extension headers are followed and nine are counted") {
  Bytes eight;
  for (int i = 0; i < 7; ++i) eight = eight + extension(60);
  const Bytes inner = tcp({}, {});
  require_match(ethernet(kIpv6, ipv6({.next = 60}, eight + extension(kTcp) + inner)), kFlow6, 138);
  require_reason(
      ethernet(kIpv6, ipv6({.next = 60}, eight + extension(60) + extension(kTcp) + inner)),
      &fl_port_counters::extensions_too_many);
}

TEST_CASE("Link padding is not payload and not a header") {
  Bytes frame = ethernet(kIpv4, ipv4({}, tcp({}, {})));
  frame.resize(60, 0xee);
  require_match(frame, key_of("192.0.2.1", "198.51.100.2", kTcp, 40000, 443), 54);
  // The datagram ends inside the TCP header; the padding must not complete it.
  Bytes cut = ethernet(kIpv4, ipv4({.length = 30}, tcp({}, {})));
  cut.resize(60, 0x55);
  require_reason(cut, &fl_port_counters::transport_truncated);
}

TEST_CASE("What is not IPv4 or IPv6 is not_ip, behind tags and labels too") {
  auto reason = &fl_port_counters::not_ip;
  require_reason(ethernet(kArp, filler(46)), reason);
  require_reason(ethernet(kVlan, tagged(kArp, filler(46))), reason);
  require_reason(ethernet(0x0100, filler(46)), reason);
  require_reason(ethernet(kMpls, labelled(16, true, filler(46))), reason);  // a pseudowire
  require_reason(Bytes(14, 0), reason);
}

TEST_CASE("VLAN tags and MPLS labels stand in front of the IP header and change no digest") {
  const auto key = key_of("192.0.2.1", "198.51.100.2", kTcp, 40000, 443);
  const Bytes four = ipv4({}, tcp({}, filler(100))), six = ipv6({}, tcp({}, filler(100)));
  Bytes stack = four;
  for (int i = 0; i < 8; ++i) stack = labelled(100, i == 0, stack);
  Bench bench;
  bench.apply({entry(key, exact_mask(), 0)});
  const auto plain = bench.lift_of(ethernet(kIpv4, four)).lift.digest;
  const std::vector<std::pair<std::size_t, Bytes>> cases = {
      {4, ethernet(kVlan, tagged(kIpv4, four))},
      {8, ethernet(kQinq, tagged(kVlan, tagged(kIpv4, four)))},
      {8, ethernet(kQinqOld, tagged(kVlan, tagged(kIpv4, four)))},
      {16, ethernet(kQinq, tagged(kVlan, tagged(kVlan, tagged(kVlan, tagged(kIpv4, four)))))},
      {4, ethernet(kMpls, labelled(16, true, four))},
      {32, ethernet(kMpls, stack)},
      {12, ethernet(kVlan, tagged(0x8848, labelled(5, false, labelled(6, true, four))))},
  };
  for (const auto& [more, frame] : cases) {
    const Lifted got = bench.lift_of(frame);
    CHECK(got.lift.digest == plain);
    CHECK(got.lift.wire_len == frame.size());
    CHECK(got.lift.header_len == 54 + more);
    CHECK(got.frame == Bytes(frame.begin(), frame.begin() + static_cast<long>(54 + more)));
  }
  require_match(ethernet(kVlan, tagged(kIpv6, six)), kFlow6, 78);
  require_match(ethernet(kMpls, labelled(16, true, six)), kFlow6, 78);
}

TEST_CASE("Tags and labels are followed to a bound, and to the frame's end") {
  const Bytes inner = ipv4({}, tcp({}, {}));
  Bytes tags = inner, labels = inner;
  for (int i = 0; i < 5; ++i) tags = tagged(i == 0 ? kIpv4 : kVlan, tags);
  for (int i = 0; i < 9; ++i) labels = labelled(100, i == 0, labels);
  require_reason(ethernet(kVlan, tags), &fl_port_counters::tags_too_many);
  require_reason(ethernet(kMpls, labels), &fl_port_counters::tags_too_many);
  auto reason = &fl_port_counters::link_truncated;
  require_reason(ethernet(kVlan, Bytes{0, 5, 8}), reason);
  require_reason(ethernet(kVlan, tagged(kVlan, {})), reason);
  require_reason(ethernet(kMpls, Bytes{0, 1, 0}), reason);
  require_reason(ethernet(kMpls, labelled(16, false, {})), reason);
  require_reason(ethernet(kMpls, labelled(16, true, {})), reason);
}

TEST_CASE("SCTP and UDP-Lite have ports, and ESP the halves of its SPI in their place") {
  require_match(ethernet(kIpv4, ipv4({.protocol = kSctp}, sctp(5000, 6000, filler(30)))),
                key_of("192.0.2.1", "198.51.100.2", kSctp, 5000, 6000), 46);
  require_match(ethernet(kIpv6, ipv6({.next = kUdpLite}, udp({}, filler(30)))),
                key_of("2001:db8::1", "2001:db8:1::2", kUdpLite, 40000, 443), 62);
  require_match(ethernet(kIpv4, ipv4({.protocol = kEsp}, esp(0x12345678, filler(30)))),
                key_of("192.0.2.1", "198.51.100.2", kEsp, 0x1234, 0x5678), 42);
  auto reason = &fl_port_counters::transport_truncated;
  require_reason(ethernet(kIpv4, ipv4({.protocol = kSctp}, filler(11))), reason);
  require_reason(ethernet(kIpv4, ipv4({.protocol = kEsp}, filler(7))), reason);
  require_reason(ethernet(kIpv6, ipv6({.next = kUdpLite}, filler(7))), reason);
}

TEST_CASE("Any association between two hosts matches ESP without ports") {
  Bench bench;
  bench.apply({entry(key_of("192.0.2.1", "198.51.100.2", kEsp), any_port_mask(true, true), 4)});
  for (std::uint32_t spi : {0x100u, 0x10000u, 0xffffffffu}) {
    bench.lift_of(ethernet(kIpv4, ipv4({.protocol = kEsp}, esp(spi, filler(30)))));
  }
  CHECK(bench.flow(4).lifted == 3);
}

TEST_CASE("An IPv6 jumbogram has the length that its option says") {
  const Bytes segment = tcp({}, filler(66000));
  const auto length = static_cast<std::uint32_t>(8 + segment.size());
  const Bytes whole =
      ethernet(kIpv6, ipv6({.next = 0, .length = 0}, jumbo(kTcp, length) + segment));
  require_match(whole, kFlow6, 82);
  Bench bench;
  bench.apply({entry(kFlow6, exact_mask(), 0)});
  CHECK(bench.lift_of(whole).lift.digest == oracle::digest(oracle::read(whole).digest_input));
  auto with = [&](const Bytes& option) {
    return ethernet(kIpv6, ipv6({.next = 0, .length = 0}, option + segment));
  };
  require_reason(with(jumbo(kTcp, length + 1)), &fl_port_counters::ip_truncated);
  require_reason(with(jumbo(kTcp, 0xffffffff)), &fl_port_counters::ip_truncated);
  auto reason = &fl_port_counters::jumbo_invalid;
  require_reason(with(jumbo(kTcp, 65535)), reason);
  require_reason(with(jumbo(kTcp, 0)), reason);
  require_reason(with(extension(kTcp)), reason);
  require_reason(ethernet(kIpv6, ipv6({.next = 0, .length = 0}, Bytes{6, 0, 0xc2, 4})), reason);
}

TEST_CASE("Broken IPv4 headers are ip_truncated") {
  const Bytes inner = tcp({}, filler(10));
  Bytes body = ipv4({}, inner);
  SECTION("total length beyond the frame") {
    body = ipv4({.length = 51}, inner);
  }
  SECTION("total length zero") {
    body = ipv4({.length = 0}, inner);
  }
  SECTION("total length shorter than the header") {
    body = ipv4({.length = 19}, inner);
  }
  SECTION("header length below five words") {
    body[0] = 0x44;
  }
  SECTION("header length beyond the datagram") {
    body = ipv4({}, filler(20));
    body[0] = 0x4f;
  }
  SECTION("version 6") {
    body[0] = 0x65;
  }
  SECTION("no whole header") {
    body.resize(19);
  }
  require_reason(ethernet(kIpv4, body), &fl_port_counters::ip_truncated);
}

TEST_CASE("Broken IPv6 headers are ip_truncated") {
  const Bytes inner = tcp({}, filler(10));
  Bytes body = ipv6({}, inner);
  SECTION("payload length beyond the frame") {
    body = ipv6({.length = 31}, inner);
  }
  SECTION("version 4") {
    body[0] = 0x45;
  }
  SECTION("no whole header") {
    body.resize(39);
  }
  SECTION("extension header longer than the payload") {
    body = ipv6({.next = 60}, Bytes{kTcp, 200, 0, 0, 0, 0, 0, 0});
  }
  SECTION("no whole extension header") {
    body = ipv6({.next = 60}, Bytes{kTcp, 0, 0, 0});
  }
  require_reason(ethernet(kIpv6, body), &fl_port_counters::ip_truncated);
}

TEST_CASE("Later fragments carry no transport header and are counted as such") {
  auto reason = &fl_port_counters::later_fragment;
  require_reason(ethernet(kIpv4, ipv4({.fragment = 0x2001}, filler(40))), reason);
  require_reason(ethernet(kIpv4, ipv4({.fragment = 0x00b9}, filler(40))), reason);
  require_reason(ethernet(kIpv6, ipv6({.next = 44}, fragment(kTcp, 0x0009, 1) + filler(40))),
                 reason);
}

TEST_CASE("A first fragment matches like any packet") {
  require_match(ethernet(kIpv4, ipv4({.fragment = 0x2000}, tcp({}, filler(8)))),
                key_of("192.0.2.1", "198.51.100.2", kTcp, 40000, 443), 54);
}

TEST_CASE("Broken transport headers are transport_truncated") {
  auto reason = &fl_port_counters::transport_truncated;
  Bytes short_offset = tcp({}, filler(10)), long_offset = tcp({}, filler(10));
  short_offset[12] = 0x40;
  long_offset[12] = 0x80;
  require_reason(ethernet(kIpv4, ipv4({}, short_offset)), reason);
  require_reason(ethernet(kIpv4, ipv4({}, long_offset)), reason);
  require_reason(ethernet(kIpv4, ipv4({}, filler(19))), reason);
  require_reason(ethernet(kIpv4, ipv4({.protocol = kUdp}, filler(7))), reason);
  require_reason(ethernet(kIpv4, ipv4({.protocol = kIcmp}, filler(7))), reason);
  require_reason(ethernet(kIpv6, ipv6({.next = kTcp}, {})), reason);
}

TEST_CASE("A frame longer than a page is read across its fragments") {
  Bench bench;
  bench.apply({default_entry(0, FL_SNAPLEN_MAX)});
  const Bytes frame = ethernet(kIpv4, ipv4({}, tcp({}, filler(8900))));
  const Lifted got = bench.lift_of(frame);
  CHECK(got.lift.wire_len == frame.size());
  CHECK(got.frame == Bytes(frame.begin(), frame.begin() + FL_SNAPLEN_MAX));
  CHECK(got.lift.digest == oracle::digest(oracle::read(frame).digest_input));
}

TEST_CASE("The program's action is its port's, and ports count apart") {
  Bench passing({.traits = {.action = XDP_PASS}});
  Bench bench({.ports = 3});
  const Bytes frame = ethernet(kIpv4, ipv4({}, tcp({}, {})));
  bench.apply({default_entry(7)});
  CHECK(passing.run(frame) == XDP_PASS);
  CHECK(bench.run(frame, 2) == XDP_DROP);
  CHECK(bench.run(frame, 2) == XDP_DROP);
  CHECK(bench.run(frame, 0) == XDP_DROP);
  CHECK(bench.port(0).lifted == 1);
  CHECK(bench.port(1).packets == 0);
  CHECK(bench.port(2).lifted == 2);
  CHECK(bench.flow(7).packets == 3);
  const auto all = bench.lifted();
  REQUIRE(all.size() == 3);
  CHECK(all[0].lift.port == 2);
  CHECK(all[2].lift.port == 0);
}

}  // namespace fieldline
