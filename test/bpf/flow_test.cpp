// SPDX-License-Identifier: Apache-2.0
// The flow table as the classifier sees it: directions, masks, deadlines, slots.
#include <catch2/catch.hpp>

#include "base/clock.h"
#include "bench.h"
#include "packets.h"

namespace fieldline {
namespace {

using namespace packets;
using source::FlowEntry;

const Bytes kForward = ethernet(kIpv4, ipv4({}, tcp({}, filler(100))));
const Bytes kReverse = ethernet(kIpv4, ipv4({.src = "198.51.100.2", .dst = "192.0.2.1"},
                                            tcp({.sport = 443, .dport = 40000}, filler(50))));
const fl_flow_key kKey = key_of("192.0.2.1", "198.51.100.2", kTcp, 40000, 443);
const fl_flow_key kBack = key_of("198.51.100.2", "192.0.2.1", kTcp, 443, 40000);

FlowEntry any_ports(std::uint32_t slot, std::uint16_t snaplen = 0) {
  return entry(key_of("192.0.2.1", "198.51.100.2", kTcp), any_port_mask(true, true), slot, kForever,
               snaplen);
}

}  // namespace

TEST_CASE("An idle table matches nothing") {
  Bench bench;
  bench.run(kForward);
  CHECK(bench.port().unmatched == 1);
  CHECK(bench.lifted().empty());
}

TEST_CASE("Both directions of a flow are two entries and name their direction") {
  Bench bench;
  bench.apply(
      {entry(kKey, exact_mask(), 0), entry(kBack, exact_mask(), 1, kForever, 0, FL_REVERSE)});
  CHECK(bench.lift_of(kForward).lift.direction == FL_FORWARD);
  const Lifted back = bench.lift_of(kReverse);
  CHECK(back.lift.direction == FL_REVERSE);
  CHECK(back.lift.slots[0] == 1);
  CHECK(bench.flow(0).bytes == kForward.size());
  CHECK(bench.flow(1).bytes == kReverse.size());
}

TEST_CASE("Any-port masks match any port on that side only") {
  Bench bench;
  const auto key = key_of("192.0.2.1", "198.51.100.2", kTcp, 0, 443);
  bench.apply({entry(key, any_port_mask(true, false), 5)});
  CHECK(bench.lift_of(ethernet(kIpv4, ipv4({}, tcp({.sport = 1}, {})))).lift.slots[0] == 5);
  CHECK(bench.lift_of(ethernet(kIpv4, ipv4({}, tcp({.sport = 65535}, {})))).lift.slots[0] == 5);
  bench.run(ethernet(kIpv4, ipv4({}, tcp({.dport = 444}, {}))));
  bench.run(ethernet(kIpv4, ipv4({.protocol = kUdp}, udp({}, {}))));
  CHECK(bench.port().unmatched == 2);
  CHECK(bench.flow(5).packets == 2);
}

TEST_CASE("Address prefixes match by masks") {
  Bench bench;
  fl_flow_key mask = any_port_mask(true, true);
  mask.src[15] = 0;
  auto key = key_of("192.0.2.0", "198.51.100.2", kTcp);
  bench.apply({entry(key, mask, 0)});
  CHECK(bench.lift_of(ethernet(kIpv4, ipv4({.src = "192.0.2.77"}, tcp({}, {})))).lift.hits == 1);
  bench.run(ethernet(kIpv4, ipv4({.src = "192.0.3.77"}, tcp({}, {}))));
  CHECK(bench.port().unmatched == 1);
}

TEST_CASE("A packet of several entries is lifted once at the largest snaplen and counts in each") {
  Bench bench;
  bench.apply(
      {entry(kKey, exact_mask(), 10, kForever, 60), any_ports(11, 128),
       entry(key_of("192.0.2.1", "198.51.100.2", kTcp, 0, 443), any_port_mask(true, false), 12)});
  const Lifted got = bench.lift_of(kForward);
  CHECK(got.lift.hits == 3);
  CHECK(got.lift.cap_len == 128);
  for (std::uint32_t slot : {10u, 11u, 12u}) {
    CHECK(bench.flow(slot).packets == 1);
    CHECK(bench.flow(slot).lifted == 1);
    CHECK(std::count(got.lift.slots, got.lift.slots + got.lift.hits, slot) == 1);
  }
  CHECK(bench.port().matched == 1);
  CHECK(bench.port().lifted == 1);
}

TEST_CASE("Eight masks are eight hits, and a ninth is refused with nothing changed") {
  Bench bench;
  std::vector<FlowEntry> entries;
  for (unsigned i = 0; i < FL_MASKS_MAX; ++i) {
    FlowEntry each = any_ports(i);
    each.mask.src[15] = static_cast<__u8>(0xff << i);
    each.key.src[15] = static_cast<__u8>(each.key.src[15] & each.mask.src[15]);
    entries.push_back(each);
  }
  bench.apply(entries);
  CHECK(bench.lift_of(kForward).lift.hits == FL_MASKS_MAX);
  auto nine = entries;
  nine.push_back(entry(kKey, exact_mask(), 99));
  auto refused = bench.table().apply(nine);
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == Code::exhausted);
  CHECK(bench.lift_of(kForward).lift.hits == FL_MASKS_MAX);
  // A mask whose last entry goes makes room in the same call.
  nine.erase(nine.begin());
  const auto applied = bench.apply(nine);
  CHECK(applied.added == 1);
  CHECK(applied.removed == 1);
  CHECK(bench.lift_of(kForward).lift.hits == FL_MASKS_MAX);
  CHECK(bench.flow(99).packets == 1);
}

TEST_CASE("Masks that leave the same bytes are kept apart") {
  // ICMP has both ports 0: an exact entry and an any-port entry have the same masked key.
  Bench bench;
  const auto key = key_of("192.0.2.1", "198.51.100.2", kIcmp);
  bench.apply({entry(key, exact_mask(), 0), entry(key, any_port_mask(true, true), 1)});
  CHECK(bench.lift_of(ethernet(kIpv4, ipv4({.protocol = kIcmp}, icmp(8, filler(8))))).lift.hits ==
        2);
  bench.apply({entry(key, any_port_mask(true, true), 1)});
  const Lifted left = bench.lift_of(ethernet(kIpv4, ipv4({.protocol = kIcmp}, icmp(8, filler(8)))));
  CHECK(left.lift.hits == 1);
  CHECK(left.lift.slots[0] == 1);
}

TEST_CASE("The classifier alone honours the deadline") {
  Bench bench;
  SystemClock clock;
  const std::uint64_t deadline = clock.monotonic_ns() + 200 * kNanosPerMilli;
  bench.apply({entry(kKey, exact_mask(), 0, deadline)});
  std::uint64_t runs = 0;
  // Nothing but the clock changes from here on.
  while (clock.monotonic_ns() < deadline + 50 * kNanosPerMilli) {
    bench.run(kForward);
    ++runs;
    bench.lifted();
  }
  const auto frozen = bench.flow(0);
  CHECK(frozen.packets > 0);
  CHECK(frozen.packets < runs);
  CHECK(bench.port().unmatched == runs - frozen.packets);
  bench.run(kForward);
  CHECK(bench.flow(0).packets == frozen.packets);
  require_port_sums(bench.port(), 0);
}

TEST_CASE(
    "A deadline of zero is never honoured, and a renewal revives the entry with its counters") {
  Bench bench;
  bench.apply({default_entry()});
  bench.run(kForward);
  auto ended = default_entry();
  ended.value.deadline_ns = 0;
  CHECK(bench.apply({ended}).updated == 1);
  bench.run(kForward);
  CHECK(bench.flow(0).packets == 1);
  CHECK(bench.apply({default_entry()}).updated == 1);
  bench.run(kForward);
  CHECK(bench.flow(0).packets == 2);
}

TEST_CASE("An entry keeps its counters over unrelated changes, and a new one begins at zero") {
  Bench bench;
  bench.apply({default_entry(0)});
  bench.run(kForward);
  const auto unchanged = bench.apply({default_entry(0), entry(kBack, exact_mask(), 1)});
  CHECK(unchanged.added == 1);
  CHECK(unchanged.updated == 0);
  CHECK(bench.flow(0).packets == 1);
  // Moved to another slot: counted from zero there. Then another flow takes the old slot.
  bench.apply({default_entry(5)});
  CHECK(bench.flow(5).packets == 0);
  bench.apply({default_entry(5), entry(kBack, exact_mask(), 0)});
  CHECK(bench.flow(0).packets == 0);
  bench.run(kForward);
  CHECK(bench.flow(5).packets == 1);
  CHECK(bench.flow(0).packets == 0);
}

TEST_CASE("A removed entry matches no more and its counters can still be read") {
  Bench bench;
  bench.apply({default_entry(0)});
  bench.run(kForward);
  CHECK(bench.apply({}).removed == 1);
  bench.run(kForward);
  CHECK(bench.flow(0).packets == 1);
  CHECK(bench.port().unmatched == 1);
}

TEST_CASE("65,536 flows in both directions are held and told apart") {
  Bench bench({.sizes = {2 * FL_FLOWS_DEFAULT, 1 << 16, 1 << 14}});
  std::vector<FlowEntry> entries;
  auto forward = [](std::uint32_t i) {
    auto key =
        key_of("10.0.0.0", "198.51.100.2", kTcp, static_cast<std::uint16_t>(i % 256 + 1), 443);
    key.src[14] = static_cast<__u8>(i >> 8);
    return key;
  };
  for (std::uint32_t i = 0; i < FL_FLOWS_DEFAULT; ++i) {
    const auto key = forward(i);
    auto back =
        key_of("198.51.100.2", "10.0.0.0", kTcp, 443, static_cast<std::uint16_t>(i % 256 + 1));
    back.dst[14] = key.src[14];
    entries.push_back(entry(key, exact_mask(), 2 * i));
    entries.push_back(entry(back, exact_mask(), 2 * i + 1, kForever, 0, FL_REVERSE));
  }
  CHECK(bench.apply(entries).added == 2 * FL_FLOWS_DEFAULT);
  for (std::uint32_t i = 0; i < FL_FLOWS_DEFAULT; i += 4099) {
    const std::string host = "10.0." + std::to_string(i >> 8) + ".0";
    const auto port = static_cast<std::uint16_t>(i % 256 + 1);
    const Lifted to = bench.lift_of(ethernet(kIpv4, ipv4({.src = host}, tcp({.sport = port}, {}))));
    const Lifted from = bench.lift_of(ethernet(
        kIpv4, ipv4({.src = "198.51.100.2", .dst = host}, tcp({.sport = 443, .dport = port}, {}))));
    CHECK(to.lift.slots[0] == 2 * i);
    CHECK(from.lift.slots[0] == 2 * i + 1);
  }
  bench.run(ethernet(kIpv4, ipv4({.src = "10.0.0.0"}, tcp({.sport = 257}, {}))));
  CHECK(bench.port().unmatched == 1);
  for (auto& each : entries) each.value.deadline_ns = kForever - 1;
  CHECK(bench.apply(entries).updated == 2 * FL_FLOWS_DEFAULT);
  CHECK(bench.apply({}).removed == 2 * FL_FLOWS_DEFAULT);
}

}  // namespace fieldline
