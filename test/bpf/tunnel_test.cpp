// SPDX-License-Identifier: Apache-2.0
// Packets inside tunnels: matched only where an entry may, joined with the same packet outside.
#include <catch2/catch.hpp>
#include <random>

#include "bench.h"
#include "oracle.h"
#include "packets.h"
#include "proto/trigger.h"

namespace fieldline {
namespace {

using namespace packets;
using Random = std::mt19937;

const auto kKey = key_of("192.0.2.1", "198.51.100.2", kTcp, 40000, 443);
const Bytes kPacket = ipv4({}, tcp({.options = Bytes(12, 1)}, filler(100)));
const Bytes kFrame = ethernet(kIpv4, kPacket);

fl_flow_key inside_mask() {
  fl_flow_key mask = exact_mask();
  mask.where = 0;
  return mask;
}

Bytes over_ip(std::uint8_t protocol, const Bytes& body, std::uint16_t fragment = 0) {
  return ethernet(
      kIpv4,
      ipv4({.src = "10.0.0.1", .dst = "10.0.0.2", .protocol = protocol, .fragment = fragment},
           body));
}
Bytes over_ip6(std::uint8_t protocol, const Bytes& body) {
  return ethernet(kIpv6, ipv6({.src = "fd00::1", .dst = "fd00::2", .next = protocol}, body));
}
Bytes over_udp(std::uint16_t port, const Bytes& body) {
  return over_ip(kUdp, udp({.sport = 50000, .dport = port}, body));
}

// Every kind that the page names, around kPacket, by what it adds in front of it.
std::vector<std::pair<std::size_t, Bytes>> tunnels() {
  const Bytes tagged_frame = ethernet(kVlan, tagged(kIpv4, kPacket));
  return {
      {20, over_ip(4, kPacket)},
      {40, over_ip6(4, kPacket)},
      {24, over_ip(kGre, gre(kIpv4, kPacket))},
      {36, over_ip(kGre, gre(kIpv4, kPacket, 0xb000))},
      {28, over_ip(kGre, gre(kMpls, labelled(9, true, kPacket)) + Bytes{})},
      {42, over_ip(kGre, gre(kTeb, kFrame, 0x2000))},
      {50, over_ip(kGre, gre(kErspan2, erspan2(kFrame), 0x1000))},
      {38, over_ip(kGre, gre(kErspan2, kFrame))},
      {54, over_ip(kGre, gre(kErspan3, erspan3(kFrame), 0x1000))},
      {62, over_ip(kGre, gre(kErspan3, erspan3(kFrame, true), 0x1000))},
      {50, over_udp(4789, vxlan(kFrame))},
      {54, over_udp(4789, vxlan(tagged_frame))},
      {70, over_ip6(kUdp, udp({.dport = 4789}, vxlan(kFrame)))},
      {50, over_udp(6081, geneve(kTeb, kFrame))},
      {36, over_udp(6081, geneve(kIpv4, kPacket))},
      {62, over_udp(6081, geneve(kTeb, kFrame, 3))},
      {54,
       ethernet(kVlan,
                tagged(kIpv4,
                       ipv4({.src = "10.0.0.1", .dst = "10.0.0.2", .protocol = kUdp, .fragment = 0},
                            udp({.dport = 4789}, vxlan(kFrame)))))},
  };
}

void require_reason(const Bytes& frame, __u64 fl_port_counters::*reason) {
  Bench bench;
  bench.apply({entry(kKey, inside_mask(), 0)});
  bench.run(frame);
  CAPTURE(to_hex(frame));
  CHECK(bench.port().*reason == 1);
  CHECK(bench.lifted().empty());
  require_port_sums(bench.port(), 0);
}

}  // namespace

TEST_CASE("A packet inside each kind of tunnel is lifted with the digest that it has outside") {
  Bench bench;
  bench.apply({entry(kKey, inside_mask(), 2)});
  const Lifted plain = bench.lift_of(kFrame);
  CHECK(plain.lift.depth == 0);
  const std::size_t headers = plain.lift.header_len;
  std::uint64_t lifted = 1;
  for (const auto& [more, frame] : tunnels()) {
    CAPTURE(more, to_hex(frame));
    const Lifted got = bench.lift_of(frame);
    CHECK(got.lift.digest == plain.lift.digest);
    CHECK(got.lift.depth == 1);
    CHECK(got.lift.slots[0] == 2);
    CHECK(got.lift.wire_len == frame.size());
    REQUIRE(got.lift.header_len == headers + more);
    CHECK(got.frame == Bytes(frame.begin(), frame.begin() + static_cast<long>(headers + more)));
    CHECK(bench.flow(2).packets == ++lifted);
  }
  require_port_sums(bench.port(), 0);
}

TEST_CASE("IPv6 inside IPv4 and IPv6") {
  Bench bench;
  const auto key = key_of("2001:db8::1", "2001:db8:1::2", kUdp, 40000, 443);
  bench.apply({entry(key, inside_mask(), 2)});
  const Bytes packet = ipv6({.next = kUdp}, udp({}, filler(40)));
  const auto plain = bench.lift_of(ethernet(kIpv6, packet)).lift.digest;
  CHECK(bench.lift_of(over_ip(41, packet)).lift.digest == plain);
  CHECK(bench.lift_of(over_ip6(41, packet)).lift.digest == plain);
  CHECK(bench.lift_of(over_ip(kGre, gre(kIpv6, packet))).lift.digest == plain);
}

TEST_CASE("An entry without the right matches no packet inside a tunnel") {
  Bench bench;
  bench.apply({entry(kKey, exact_mask(), 1)});
  for (const auto& [more, frame] : tunnels()) bench.run(frame);
  CHECK(bench.lifted().empty());
  CHECK(bench.port().unmatched == tunnels().size());
  // Nor does it while another entry has it.
  bench.apply({entry(kKey, exact_mask(), 1),
               entry(key_of("192.0.2.9", "198.51.100.2", kTcp, 1, 2), inside_mask(), 2)});
  for (const auto& [more, frame] : tunnels()) bench.run(frame);
  CHECK(bench.lifted().empty());
  bench.apply({entry(kKey, exact_mask(), 1), entry(kKey, inside_mask(), 2)});
  const Lifted outside = bench.lift_of(kFrame);
  CHECK(outside.lift.hits == 2);
  const Lifted inside = bench.lift_of(tunnels()[0].second);
  CHECK(inside.lift.hits == 1);
  CHECK(inside.lift.slots[0] == 2);
  CHECK(bench.flow(1).packets == 1);
}

TEST_CASE("A run of the tunnel's own flow hides neither packets nor triggers of those inside it") {
  const auto outer = entry(key_of("10.0.0.1", "10.0.0.2", kUdp, 50000, 4789), exact_mask(), 1);
  Bench bench;
  bench.apply({entry(kKey, inside_mask(), 0), outer});
  const Bytes frame = over_udp(4789, vxlan(kFrame));
  bench.run(frame);
  const auto lifted = bench.lifted();
  REQUIRE(lifted.size() == 2);
  CHECK(lifted[0].lift.slots[0] == 1);
  CHECK(lifted[0].lift.depth == 0);
  CHECK(lifted[0].lift.digest == oracle::digest(oracle::read(frame).digest_input));
  CHECK(lifted[1].lift.slots[0] == 0);
  CHECK(lifted[1].lift.hits == 1);
  CHECK(lifted[1].lift.depth == 1);
  CHECK(lifted[1].lift.digest == bench.lift_of(kFrame).lift.digest);
  CHECK(bench.flow(1).packets == 1);
  CHECK(bench.flow(0).packets == 2);
  CHECK(bench.port().taken_again == 1);
  require_port_sums(bench.port(), 0);

  // What it carries cannot be read: the tunnel's own packet is whole all the same.
  bench.lift_of(over_udp(4789, vxlan(ethernet(kArp, filler(46)))));
  CHECK(bench.port().not_ip == 0);
  require_port_sums(bench.port(), 0);

  Bytes body = filler(FL_TRIGGER_MIN);
  std::memcpy(body.data(), FL_TRIGGER_MAGIC, FL_TRIGGER_MAGIC_LEN);
  REQUIRE(bench.table().look_inside(true).has_value());
  bench.lift_of(over_udp(4789, vxlan(ethernet(kIpv4, ipv4({.protocol = kUdp}, udp({}, body))))));
  CHECK(bench.triggers().size() == 1);
  CHECK(bench.port().taken_again == 2);
  require_port_sums(bench.port(), 1);
}

TEST_CASE("Of two tunnels with packets of runs in each, every one is lifted") {
  Bench bench;
  const Bytes middle = over_udp(4789, vxlan(kFrame));
  const Bytes frame = over_ip(kGre, gre(kErspan2, erspan2(middle), 0x1000));
  bench.apply({entry(kKey, inside_mask(), 0),
               entry(key_of("10.0.0.1", "10.0.0.2", kUdp, 50000, 4789), inside_mask(), 1),
               entry(key_of("10.0.0.1", "10.0.0.2", kGre, 0, 0), exact_mask(), 2)});
  bench.run(frame);
  const auto lifted = bench.lifted();
  REQUIRE(lifted.size() == 3);
  for (unsigned depth = 0; depth < 3; ++depth) {
    CHECK(lifted[depth].lift.depth == depth);
    CHECK(lifted[depth].lift.slots[0] == 2 - depth);
  }
  CHECK(bench.port().taken_again == 2);
  require_port_sums(bench.port(), 0);
}

TEST_CASE("Two tunnels, one in the other, are opened and a third is counted") {
  Bench bench;
  bench.apply({entry(kKey, inside_mask(), 0)});
  const Bytes two = over_ip(kGre, gre(kErspan2, erspan2(over_udp(4789, vxlan(kFrame))), 0x1000));
  const auto plain = bench.lift_of(kFrame).lift.digest;
  const Lifted got = bench.lift_of(two);
  CHECK(got.lift.depth == 2);
  CHECK(got.lift.digest == plain);
  require_reason(over_ip(kGre, gre(kTeb, two)), &fl_port_counters::tunnels_too_many);
  Bytes deep = kPacket;
  for (int i = 0; i < 20; ++i)
    deep = ipv4({.src = "10.0.0.1", .dst = "10.0.0.2", .protocol = 4}, deep);
  require_reason(ethernet(kIpv4, deep), &fl_port_counters::tunnels_too_many);
}

TEST_CASE("What a tunnel carries is counted by its reason, and a broken tunnel by its own") {
  auto invalid = &fl_port_counters::tunnel_invalid;
  require_reason(over_udp(4789, vxlan(kFrame, 0)), invalid);
  require_reason(over_udp(4789, filler(7)), invalid);
  require_reason(over_udp(6081, geneve(kTeb, kFrame, 0, 1)), invalid);
  require_reason(over_udp(6081, Bytes{63, 0, 0x65, 0x58, 0, 0, 7, 0} + filler(20)), invalid);
  require_reason(over_ip(kGre, gre(kIpv4, kPacket, 0x0001)), invalid);  // PPTP
  require_reason(over_ip(kGre, gre(kIpv4, kPacket, 0x4000)), invalid);  // routing
  require_reason(over_ip(kGre, Bytes{0, 0, 8}), invalid);
  require_reason(over_ip(kGre, Bytes{0xb0, 0, 8, 0, 1, 2, 3, 4}), invalid);
  require_reason(over_ip(kGre, gre(kErspan2, erspan3(kFrame), 0x1000)), invalid);
  require_reason(over_ip(kGre, gre(kErspan3, erspan2(kFrame), 0x1000)), invalid);
  require_reason(over_ip(kGre, gre(kErspan3, filler(0), 0x1000)), invalid);
  require_reason(over_ip(kUdp, udp({.dport = 4789}, vxlan(kFrame)), 0x2000),
                 &fl_port_counters::tunnel_fragmented);
  require_reason(over_udp(4789, vxlan(ethernet(kArp, filler(46)))), &fl_port_counters::not_ip);
  require_reason(over_ip(kGre, gre(0x880b, filler(40))), &fl_port_counters::not_ip);  // PPP
  require_reason(over_ip(4, filler(19)), &fl_port_counters::ip_truncated);
  require_reason(over_ip(4, ipv4({.length = 500}, tcp({}, {}))), &fl_port_counters::ip_truncated);
  require_reason(over_ip(4, ipv4({.fragment = 185}, filler(40))),
                 &fl_port_counters::later_fragment);
  require_reason(over_ip(4, ipv4({}, filler(19))), &fl_port_counters::transport_truncated);
}

TEST_CASE("Fragments that a tunnel carries are followed like others") {
  Bench bench;
  bench.apply({entry(key_of("192.0.2.1", "198.51.100.2", kUdp, 40000, 443), inside_mask(), 3)});
  auto wrapped = [](std::uint16_t offset, const Bytes& body) {
    return over_udp(4789,
                    vxlan(ethernet(kIpv4, ipv4({.protocol = kUdp, .fragment = offset}, body))));
  };
  bench.lift_of(wrapped(0x2000, udp({}, filler(800))));
  const Lifted later = bench.lift_of(wrapped(101, filler(100)));
  CHECK(later.lift.depth == 1);
  CHECK(bench.flow(3).packets == 2);
}

TEST_CASE("A trigger inside a tunnel is one only where the sensor looks for it") {
  Bytes body = filler(FL_TRIGGER_MIN);
  std::memcpy(body.data(), FL_TRIGGER_MAGIC, FL_TRIGGER_MAGIC_LEN);
  const Bytes carrier = ipv4({.protocol = kUdp}, udp({}, body));
  const Bytes frame = over_udp(4789, vxlan(ethernet(kIpv4, carrier)));
  Bench bench;
  bench.run(frame);
  CHECK(bench.triggers().empty());
  REQUIRE(bench.table().look_inside(true).has_value());
  bench.run(frame);
  const auto got = bench.triggers();
  REQUIRE(got.size() == 1);
  CHECK(got[0].trigger == body);
  CHECK(got[0].lift.outer.where == FL_KEY_INSIDE);
  CHECK(got[0].lift.outer.dport == big_endian(std::uint16_t{443}));
  // It stays on while entries come and go.
  bench.apply({entry(kKey, exact_mask(), 0)});
  bench.apply({});
  bench.run(frame);
  CHECK(bench.triggers().size() == 1);
  REQUIRE(bench.table().look_inside(false).has_value());
  bench.run(frame);
  CHECK(bench.triggers().empty());
  CHECK(bench.port().unmatched == 2);
  require_port_sums(bench.port(), 2);
}

namespace {

// A random stack of link and tunnel headers around a packet of our flow or of another.
class Stacks {
 public:
  explicit Stacks(unsigned seed) : random_(seed) {}

  Bytes frame() {
    Bytes packet = random_() % 4 ? kPacket : ipv6({}, tcp({}, filler(20)));
    bool v6 = packet != kPacket;
    for (unsigned depth = random_() % 4; depth > 0; --depth) {
      packet = wrap(packet, v6);
      v6 = packet[0] >> 4 == 6;
    }
    return link(packet, v6);
  }
  std::size_t below(std::size_t n) { return random_() % n; }

 private:
  Bytes link(const Bytes& packet, bool v6) {
    Bytes body = packet;
    std::uint16_t type = v6 ? kIpv6 : kIpv4;
    if (random_() % 4 == 0) {
      body = labelled(7, true, body);
      for (auto more = random_() % 9; more > 0; --more) body = labelled(8, false, body);
      type = kMpls;
    }
    for (auto tags = random_() % 8; tags > 2; --tags) {
      body = tagged(type, body);
      type = tags % 2 ? kVlan : kQinq;
    }
    return ethernet(type, body);
  }

  Bytes wrap(const Bytes& packet, bool v6) {
    const auto flags = static_cast<std::uint16_t>((random_() & 0xb) << 12);
    const std::uint16_t type = v6 ? kIpv6 : kIpv4;
    switch (random_() % 8) {
      case 0:
        return carrier(v6 ? 41 : 4, packet);
      case 1:
        return carrier(kGre, gre(type, packet, flags));
      case 2:
        return carrier(kGre, gre(kTeb, link(packet, v6), flags));
      case 3:
        return carrier(kGre, gre(kErspan2, erspan2(link(packet, v6)), flags | 0x1000));
      case 4:
        return carrier(kGre, gre(kErspan3, erspan3(link(packet, v6), flags & 1), flags));
      case 5:
        return carrier(kUdp, udp({.dport = 4789}, vxlan(link(packet, v6))));
      case 6:
        return carrier(kUdp, udp({.dport = 6081}, geneve(type, packet)));
      default:
        return carrier(
            kUdp, udp({.dport = 6081},
                      geneve(kTeb, link(packet, v6), static_cast<std::uint8_t>(random_() % 64))));
    }
  }

  Bytes carrier(unsigned protocol, const Bytes& body) {
    const auto number = static_cast<std::uint8_t>(protocol);
    if (random_() % 3 == 0) return ipv6({.src = "fd00::1", .dst = "fd00::2", .next = number}, body);
    const std::uint16_t fragment = random_() % 16 == 0 ? 0x2000 : 0;
    return ipv4({.src = "10.0.0.1", .dst = "10.0.0.2", .protocol = number, .fragment = fragment},
                body);
  }

  Random random_;
};

// What the classifier must make of a frame while kKey alone is wanted, also inside tunnels.
struct Expected {
  fl_unparsed reason = FL_PARSED;
  bool matched = false;
  std::uint8_t depth = 0;
  oracle::Verdict verdict;
};

Expected expect(const Bytes& frame) {
  Expected expected;
  expected.verdict = oracle::read(frame);
  for (;; ++expected.depth) {
    expected.reason = expected.verdict.reason;
    if (expected.reason != FL_PARSED) return expected;
    fl_flow_key key = expected.verdict.key;
    key.where = 0;
    if (std::memcmp(&key, &kKey, sizeof key) == 0) {
      expected.matched = true;
      return expected;
    }
    auto inside = oracle::read_inside(frame, expected.verdict);
    if (!inside) return expected;
    if (expected.depth == 2) {
      expected.reason = FL_TUNNELS_TOO_MANY;
      return expected;
    }
    expected.verdict = *inside;
  }
}

class InnerDuel {
 public:
  InnerDuel() { bench_.apply({entry(kKey, inside_mask(), 0)}); }

  void run(const Bytes& frame) {
    const Expected expected = expect(frame);
    bench_.run(frame);
    const auto now = bench_.port();
    const auto lifted = bench_.lifted();
    CAPTURE(to_hex(frame), static_cast<int>(expected.reason), expected.matched);
    require_port_sums(now, 0);
#define GREW(constant, counter) \
  REQUIRE(now.counter - before_.counter == (expected.reason == constant));
    FL_UNPARSED(GREW)
#undef GREW
    REQUIRE(lifted.size() == expected.matched);
    REQUIRE(now.unmatched - before_.unmatched ==
            (expected.reason == FL_PARSED && !expected.matched));
    if (expected.matched) {
      const fl_lift& lift = lifted[0].lift;
      REQUIRE(lift.depth == expected.depth);
      REQUIRE(lift.digest == oracle::digest(expected.verdict.digest_input));
      REQUIRE(lift.header_len == expected.verdict.header_end);
      REQUIRE(lift.cap_len == std::min<std::size_t>(expected.verdict.header_end, FL_SNAPLEN_MAX));
    }
    if (expected.verdict.fragmented) bench_.forget_fragments();
    before_ = now;
  }
  const fl_port_counters& counters() const {
    return before_;
  }

 private:
  Bench bench_;
  fl_port_counters before_{};
};

}  // namespace

TEST_CASE("Each tunnel cut at every byte: lifted whole or counted, as the second parser says") {
  InnerDuel duel;
  std::uint64_t whole_ones = 0;
  for (const auto& [more, whole] : tunnels()) {
    whole_ones += whole[12] == 8 ? 2 : 1;
    for (std::size_t size = 14; size <= whole.size(); ++size) {
      duel.run(Bytes(whole.begin(), whole.begin() + static_cast<long>(size)));
    }
    // With the outer length as if it had been sent so.
    for (std::size_t size = 34; whole[12] == 8 && size <= whole.size(); ++size) {
      Bytes frame(whole.begin(), whole.begin() + static_cast<long>(size));
      frame[16] = static_cast<std::uint8_t>((size - 14) >> 8);
      frame[17] = static_cast<std::uint8_t>(size - 14);
      duel.run(frame);
    }
  }
  CHECK(duel.counters().tunnel_invalid > 0);
  CHECK(duel.counters().ip_truncated > 0);
  CHECK(duel.counters().transport_truncated > 0);
  CHECK(duel.counters().lifted >= whole_ones);
}

TEST_CASE(
    "20,000 random stacks, whole, cut and flipped: what is lifted is what the second parser says") {
  InnerDuel duel;
  Stacks stacks(20261122);
  for (int i = 0; i < 20'000; ++i) {
    Bytes frame = stacks.frame();
    if (i % 5 == 0) frame.resize(14 + stacks.below(frame.size() - 13));
    const std::size_t flips = i % 3 == 0 ? 0 : 1 + stacks.below(3);
    for (std::size_t k = 0; k < flips; ++k) {
      frame[12 + stacks.below(std::min<std::size_t>(frame.size() - 12, 180))] ^=
          static_cast<std::uint8_t>(1u << stacks.below(8));
    }
    duel.run(frame);
  }
  const fl_port_counters& all = duel.counters();
  CHECK(all.packets == 20'000);
  CHECK(all.lifted > 2'000);
#define MET(constant, counter) \
  if (constant != FL_JUMBO_INVALID && constant != FL_EXTENSIONS_TOO_MANY) CHECK(all.counter > 0);
  FL_UNPARSED(MET)
#undef MET
}

}  // namespace fieldline
