// SPDX-License-Identifier: Apache-2.0
// What a lifted record holds, and what happens when the header ring is full.
#include <linux/pkt_cls.h>

#include <catch2/catch.hpp>

#include "base/clock.h"
#include "bench.h"
#include "packets.h"
#include "proto/trigger.h"

namespace fieldline {
namespace {

using namespace packets;

const Bytes kFrame = ethernet(kIpv4, ipv4({}, tcp({.options = Bytes(12, 1)}, filler(600))));

}  // namespace

TEST_CASE("The snaplen asked for is what is lifted, within the frame and the limit") {
  struct Case {
    std::uint16_t snaplen;
    std::size_t expected;
    bool truncated;
  };
  const auto now = GENERATE(Case{0, 66, false}, Case{1, 1, true}, Case{14, 14, true},
                            Case{65, 65, true}, Case{66, 66, false}, Case{67, 67, false},
                            Case{511, 511, false}, Case{512, 512, false}, Case{9000, 512, false});
  Bench bench;
  bench.apply({default_entry(0, now.snaplen)});
  const Lifted got = bench.lift_of(kFrame);
  CHECK(got.frame == Bytes(kFrame.begin(), kFrame.begin() + static_cast<long>(now.expected)));
  CHECK((got.lift.flags & FL_LIFT_TRUNCATED) == (now.truncated ? FL_LIFT_TRUNCATED : 0));
  const Bytes small = ethernet(kIpv4, ipv4({}, tcp({}, filler(3))));
  CHECK(bench.lift_of(small).frame.size() ==
        std::min(small.size(), now.snaplen ? std::size_t{now.snaplen} : std::size_t{54}));
}

TEST_CASE("HeadersCutByAnotherRun: an entry of both lifts the headers at least") {
  Bench bench;
  bench.apply({default_entry(0, 1 | FL_SNAPLEN_AND_HEADERS)});
  CHECK(bench.lift_of(kFrame).lift.cap_len == 66);
  bench.apply({default_entry(0, 100 | FL_SNAPLEN_AND_HEADERS)});
  CHECK(bench.lift_of(kFrame).lift.cap_len == 100);
}

TEST_CASE("Headers-only is compared as the length that it means for this packet") {
  Bench bench;
  const auto any =
      entry(key_of("192.0.2.1", "198.51.100.2", kTcp), any_port_mask(true, true), 1, kForever, 60);
  bench.apply({default_entry(0, FL_SNAPLEN_HEADERS), any});
  CHECK(bench.lift_of(kFrame).lift.cap_len == 66);  // headers: 66
  CHECK(bench.lift_of(ethernet(kIpv4, ipv4({}, tcp({}, filler(100))))).lift.cap_len ==
        60);  // headers: 54
}

TEST_CASE("Headers longer than the limit are cut and flagged") {
  Bench bench;
  bench.apply({entry(key_of("2001:db8::1", "2001:db8:1::2", kTcp, 40000, 443), exact_mask(), 0)});
  const Bytes frame = ethernet(kIpv6, ipv6({.next = 60}, extension(kTcp, 100) + tcp({}, {})));
  const Lifted got = bench.lift_of(frame);
  CHECK(got.lift.cap_len == FL_SNAPLEN_MAX);
  CHECK(got.lift.flags == (FL_LIFT_TRUNCATED | FL_LIFT_ASCENDING));
}

TEST_CASE("A record is padded with zeros, never with another packet's bytes") {
  Bench bench;
  bench.apply({default_entry(0, 500)});
  bench.lift_of(kFrame);
  bench.apply({default_entry(0, 57)});
  auto ring = source::Ring::open(bench.map_fd("header_ring"), 1 << 16, sizeof(fl_lift));
  REQUIRE(ring.has_value());
  bench.run(kFrame);
  Bytes record;
  auto drained = (*ring)->drain([&](ByteView bytes) -> Result<void> {
    record.assign(bytes.begin(), bytes.end());
    return {};
  });
  REQUIRE(drained.has_value());
  REQUIRE(record.size() == sizeof(fl_lift) + 64);
  CHECK(Bytes(record.end() - 7, record.end()) == Bytes(7, 0));
}

TEST_CASE("A record carries the time of day on TAI and no gso fields") {
  SystemClock clock;
  Bench bench;
  bench.apply({default_entry()});
  const std::uint64_t before = clock.tai_ns();
  const Lifted got = bench.lift_of(kFrame);
  CHECK(got.lift.timestamp_ns >= before);
  CHECK(got.lift.timestamp_ns <= clock.tai_ns());
  CHECK(got.lift.gso_size == 0);
  CHECK(got.lift.gso_segs == 0);
  CHECK(got.lift.queue == 0);
}

TEST_CASE("A super-packet is one record, and counts as the segments that it is on the wire") {
  Bench bench(
      {.traits = {.action = static_cast<std::uint32_t>(TC_ACT_UNSPEC)}, .hook = source::Hook::tc});
  bench.apply({default_entry(4)});
  const Bytes frame = ethernet(kIpv4, ipv4({}, tcp({.options = Bytes(12, 1)}, filler(3000))));
  const std::uint32_t segments = 3, headers = 66;
  // Those of a guest do not say how many they are.
  for (std::uint32_t said : {segments, 0u}) {
    CHECK(bench.run_super(frame, 1448, said) == static_cast<std::uint32_t>(TC_ACT_UNSPEC));
    const auto all = bench.lifted();
    REQUIRE(all.size() == 1);
    const fl_lift& lift = all.front().lift;
    CHECK(lift.gso_size == 1448);
    CHECK(lift.gso_segs == segments);
    CHECK(lift.header_len == headers);
    CHECK(lift.wire_len == frame.size());
    CHECK(lift.flags == (FL_LIFT_CHECKSUM_PARTIAL | FL_LIFT_ASCENDING));
    CHECK(all.front().frame.size() == headers);
  }
  CHECK(bench.flow(4).packets == 2 * segments);
  CHECK(bench.flow(4).bytes == 2 * (frame.size() + (segments - 1) * headers));
  CHECK(bench.port().packets == 2 * segments);
  CHECK(bench.port().bytes == bench.flow(4).bytes);
  CHECK(bench.port().super_packets == 2);

  CHECK(bench.lift_of(frame).lift.gso_segs == 0);
  CHECK(bench.port().packets == 2 * segments + 1);
  // What cannot be parsed is as many segments; its headers are not known.
  Bytes other = frame;
  other[12] = 0x88;
  bench.run_super(other, 1000, 4);
  CHECK(bench.port().not_ip == 4);
  CHECK(bench.port().bytes == bench.flow(4).bytes + other.size());
  require_flow_sums(bench.flow(4));
  require_port_sums(bench.port(), 0);
}

TEST_CASE("Triggers that were glued into a super-packet are a bad length, each of them") {
  Bench bench(
      {.traits = {.action = static_cast<std::uint32_t>(TC_ACT_UNSPEC)}, .hook = source::Hook::tc});
  Bytes two(2 * FL_TRIGGER_MIN, 1);
  std::memcpy(two.data(), FL_TRIGGER_MAGIC, FL_TRIGGER_MAGIC_LEN);
  bench.run_super(ethernet(kIpv4, ipv4({.protocol = kUdp}, udp({}, two))), FL_TRIGGER_MIN, 2);
  CHECK(bench.triggers().empty());
  CHECK(bench.port().triggers_bad_length == 2);
  require_port_sums(bench.port(), 0);
}

TEST_CASE("A checksum that is still the pseudo-header's sum is flagged as not final") {
  auto pseudo_sum = [](ByteView addresses, std::uint32_t protocol, std::uint32_t length) {
    std::uint32_t sum = protocol + length;
    for (std::size_t i = 0; i < addresses.size(); i += 2)
      sum += addresses[i] << 8 | addresses[i + 1];
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(sum);
  };
  Bench bench;
  bench.apply({default_entry(0),
               entry(key_of("2001:db8::1", "2001:db8:1::2", kUdp, 40000, 443), exact_mask(), 1)});
  const Bytes bare4 = ipv4({}, filler(20));
  const auto sum4 = pseudo_sum(ByteView(bare4).subspan(12, 8), kTcp, 20 + 300);
  auto tcp_with = [](std::uint16_t sum) {
    return ethernet(kIpv4, ipv4({}, tcp({.checksum = sum}, filler(300))));
  };
  constexpr int kPartial = FL_LIFT_CHECKSUM_PARTIAL | FL_LIFT_ASCENDING;
  CHECK(bench.lift_of(tcp_with(sum4)).lift.flags == kPartial);
  CHECK(bench.lift_of(tcp_with(static_cast<std::uint16_t>(sum4 + 1))).lift.flags ==
        FL_LIFT_ASCENDING);
  const Bytes bare6 = ipv6({.next = kUdp}, {});
  const auto sum6 = pseudo_sum(ByteView(bare6).subspan(8, 32), kUdp, 8 + 50);
  CHECK(bench.lift_of(ethernet(kIpv6, ipv6({.next = kUdp}, udp({.checksum = sum6}, filler(50)))))
            .lift.flags == kPartial);
}

TEST_CASE("A full header ring is counted per flow and port, and starves no trigger") {
  Bench bench({.sizes = {64, 4096, 1 << 14}});
  bench.apply({default_entry(3)});
  Bytes trigger(FL_TRIGGER_MIN, 0x5a);
  std::memcpy(trigger.data(), FL_TRIGGER_MAGIC, FL_TRIGGER_MAGIC_LEN);
  for (int i = 0; i < 100; ++i) bench.run(kFrame);
  bench.run(ethernet(kIpv4, ipv4({.protocol = kUdp}, udp({}, trigger))));

  const auto port = bench.port();
  const auto flow = bench.flow(3);
  CHECK(flow.packets == 100);
  CHECK(flow.dropped_ring > 0);
  CHECK(flow.dropped_ring == port.dropped_ring);
  require_flow_sums(flow);
  CHECK(bench.lifted().size() == flow.lifted);
  CHECK(bench.triggers().size() == 1);
  require_port_sums(port, 1);
  // Room again.
  bench.run(kFrame);
  CHECK(bench.lifted().size() == 1);
}

TEST_CASE("A reader gets at most what stood in the ring, and an exception passes through") {
  Bench bench;
  bench.apply({default_entry()});
  for (int i = 0; i < 3; ++i) bench.run(kFrame);
  auto ring = source::Ring::open(bench.map_fd("header_ring"), 1 << 16, sizeof(fl_lift));
  REQUIRE(ring.has_value());
  CHECK_THROWS_AS((*ring)->drain([](ByteView) -> Result<void> { throw std::runtime_error("x"); }),
                  std::runtime_error);
  auto stopped = (*ring)->drain([](ByteView) -> Result<void> { return fail(Code::invalid, "no"); });
  REQUIRE(stopped.has_error());
  auto rest = (*ring)->drain([](ByteView) -> Result<void> { return {}; });
  REQUIRE(rest.has_value());
  CHECK(*rest == 1);
}

}  // namespace fieldline
