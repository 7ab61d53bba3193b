// SPDX-License-Identifier: Apache-2.0
// What the classifier does not lift on purpose: packets of no sample, and those that are only
// counted.
#include <catch2/catch.hpp>

#include <map>

#include "bench.h"
#include "packets.h"
#include "proto/digest.h"

namespace fieldline {
namespace {

using namespace packets;
using source::FlowEntry;

constexpr std::uint16_t kPackets = 256;  // a ring of 64 KiB holds that many

Bytes frame_of(std::uint16_t id) {
  return ethernet(kIpv4, ipv4({.id = id}, tcp({}, filler(100))));
}

FlowEntry sampled(FlowEntry one, std::uint8_t bits) {
  one.value.sample_bits = bits;
  return one;
}

FlowEntry any_ports(std::uint32_t slot) {
  return entry(key_of("192.0.2.1", "198.51.100.2", kTcp), any_port_mask(true, true), slot);
}

// The digests of all packets, by IP id: what is lifted when nothing is sampled.
std::map<std::uint16_t, std::uint64_t> digests(Bench& bench) {
  std::map<std::uint16_t, std::uint64_t> all;
  bench.apply({default_entry(0)});
  for (std::uint16_t id = 0; id < kPackets; ++id) all[id] = bench.lift_of(frame_of(id)).lift.digest;
  bench.apply({});
  return all;
}

std::vector<std::uint64_t> lifted_digests(Bench& bench) {
  std::vector<std::uint64_t> out;
  for (std::uint16_t id = 0; id < kPackets; ++id) bench.run(frame_of(id));
  for (const Lifted& one : bench.lifted()) out.push_back(one.lift.digest);
  return out;
}

std::vector<std::uint64_t> kept_of(const std::map<std::uint16_t, std::uint64_t>& all,
                                   std::uint8_t bits) {
  std::vector<std::uint64_t> out;
  for (const auto& [id, digest] : all)
    if (fl_sample_keeps(digest, bits)) out.push_back(digest);
  return out;
}

}  // namespace

TEST_CASE("A sampled entry lifts exactly the packets of its sample, and counts the others") {
  const auto bits = GENERATE(std::uint8_t{0}, std::uint8_t{1}, std::uint8_t{3}, std::uint8_t{31});
  Bench bench;
  const auto all = digests(bench);
  const auto before = bench.port();
  bench.apply({sampled(default_entry(1), bits)});
  const auto got = lifted_digests(bench);
  CHECK(got == kept_of(all, bits));
  const auto flow = bench.flow(1);
  require_flow_sums(flow);
  CHECK(flow.packets == kPackets);
  CHECK(flow.lifted == got.size());
  CHECK(flow.sampled_out == kPackets - got.size());
  CHECK(flow.sampled_out_bytes == flow.sampled_out * frame_of(0).size());
  require_port_sums(bench.port(), 0);
  CHECK(bench.port().sampled_out - before.sampled_out == flow.sampled_out);
}

TEST_CASE("What is only counted is never lifted") {
  Bench bench;
  bench.apply({sampled(default_entry(1), FL_SAMPLE_NONE)});
  CHECK(lifted_digests(bench).empty());
  CHECK(bench.flow(1).packets == kPackets);
  CHECK(bench.flow(1).bytes == kPackets * frame_of(0).size());
  CHECK(bench.flow(1).sampled_out == kPackets);
  require_flow_sums(bench.flow(1));
}

TEST_CASE("A packet is lifted once if any entry wants it, whatever the others say") {
  Bench bench;
  const auto all = digests(bench);
  bench.apply({sampled(default_entry(1), 3), sampled(any_ports(2), FL_SAMPLE_NONE)});
  CHECK(lifted_digests(bench) == kept_of(all, 3));
  for (std::uint32_t slot : {1u, 2u}) {
    CHECK(bench.flow(slot).lifted == kept_of(all, 3).size());
    require_flow_sums(bench.flow(slot));
  }
  bench.apply({sampled(default_entry(1), 3), sampled(any_ports(2), 1)});
  CHECK(lifted_digests(bench) == kept_of(all, 1));
}

TEST_CASE("DroppedOfTheirsIsNotOurs: a full ring is a drop of the entries that wanted the packet") {
  Bench bench({.sizes = {64, 4096, 1 << 14}});
  const auto all = [] {
    Bench wide;
    return digests(wide);
  }();
  bench.apply({sampled(default_entry(1), 3), sampled(any_ports(2), 0)});
  const std::size_t lifted = lifted_digests(bench).size();
  REQUIRE(lifted < kPackets);
  const auto sample = bench.flow(1), whole = bench.flow(2);
  require_flow_sums(sample);
  require_flow_sums(whole);
  CHECK(whole.sampled_out == 0);
  CHECK(whole.dropped_ring == kPackets - lifted);
  std::uint64_t wanted = 0;  // the first ones found room
  for (std::uint16_t id = static_cast<std::uint16_t>(lifted); id < kPackets; ++id)
    wanted += static_cast<unsigned>(fl_sample_keeps(all.at(id), 3));
  CHECK(sample.dropped_ring == wanted);
  CHECK(sample.sampled_out == whole.dropped_ring - wanted);
}

TEST_CASE("Which way a packet goes is told by its addresses, then by its ports") {
  struct Case {
    const char *src, *dst;
    std::uint16_t sport, dport;
    bool ascending;
  };
  Bench bench;
  fl_flow_key any_host_mask{};
  any_host_mask.protocol = 0xff;
  fl_flow_key any_host{};
  any_host.protocol = kTcp;
  bench.apply({entry(any_host, any_host_mask, 1, kForever, 0, FL_EITHER)});
  for (const Case& one :
       {Case{"10.0.0.1", "10.0.0.2", 9, 1, true}, Case{"10.0.0.2", "10.0.0.1", 1, 9, false},
        Case{"10.0.1.0", "10.0.0.255", 1, 9, false}, Case{"9.255.255.255", "10.0.0.0", 9, 1, true},
        Case{"127.0.0.1", "128.0.0.1", 9, 1, true}, Case{"10.0.0.1", "10.0.0.1", 255, 256, true},
        Case{"10.0.0.1", "10.0.0.1", 256, 255, false}}) {
    CAPTURE(one.src, one.dst, one.sport, one.dport);
    const Lifted got =
        bench.lift_of(ethernet(kIpv4, ipv4({.src = one.src, .dst = one.dst},
                                           tcp({.sport = one.sport, .dport = one.dport}, {}))));
    CHECK(((got.lift.flags & FL_LIFT_ASCENDING) != 0) == one.ascending);
    CHECK(got.lift.direction == FL_EITHER);
  }
  CHECK((bench.lift_of(ethernet(kIpv6, ipv6({}, tcp({.sport = 443, .dport = 1}, {})))).lift.flags &
         FL_LIFT_ASCENDING) != 0);
}

}  // namespace fieldline
