// SPDX-License-Identifier: Apache-2.0
// Later fragments: those of a datagram whose first fragment matched, and no others.
#include <bpf/bpf.h>

#include <catch2/catch.hpp>

#include "base/clock.h"
#include "bench.h"
#include "oracle.h"
#include "packets.h"

namespace fieldline {
namespace {

using namespace packets;

const auto kFlow4 = key_of("192.0.2.1", "198.51.100.2", kUdp, 40000, 443);
const auto kFlow6 = key_of("2001:db8::1", "2001:db8:1::2", kUdp, 40000, 443);

Bytes first4(std::uint16_t id, std::uint16_t sport = 40000) {
  return ethernet(kIpv4, ipv4({.protocol = kUdp, .id = id, .fragment = 0x2000},
                              udp({.sport = sport}, filler(1472))));
}
Bytes later4(std::uint16_t id, std::uint16_t offset = 185, std::uint8_t protocol = kUdp) {
  return ethernet(kIpv4, ipv4({.protocol = protocol, .id = id, .fragment = offset}, filler(100)));
}
Bytes first6(std::uint32_t id) {
  return ethernet(kIpv6, ipv6({.next = 44}, fragment(kUdp, 1, id) + udp({}, filler(1440))));
}
Bytes later6(std::uint32_t id) {
  return ethernet(kIpv6, ipv6({.next = 44}, fragment(kUdp, 181 << 3, id) + filler(100)));
}

}  // namespace

TEST_CASE("Later fragments are lifted for the flow of their first, by their own digest") {
  Bench bench;
  bench.apply({entry(kFlow4, exact_mask(), 4), entry(kFlow6, exact_mask(), 6)});
  struct Case {
    Bytes first, later;
    std::uint32_t slot;
    std::size_t headers;
  };
  for (const Case& one : {Case{first4(7), later4(7), 4, 34}, Case{first6(7), later6(7), 6, 62}}) {
    bench.lift_of(one.first);
    const Lifted got = bench.lift_of(one.later);
    CHECK(got.lift.slots[0] == one.slot);
    CHECK(got.lift.cap_len == one.headers);
    CHECK(got.lift.header_len == one.headers);
    CHECK(got.lift.flags == FL_LIFT_ASCENDING);
    CHECK(got.lift.digest == oracle::digest(oracle::read(one.later).digest_input));
    CHECK(bench.flow(one.slot).packets == 2);
  }
  CHECK(bench.lift_of(later4(7, 370)).lift.digest != bench.lift_of(later4(7)).lift.digest);
  CHECK(bench.port().later_fragment == 0);
  require_port_sums(bench.port(), 0);
}

TEST_CASE("A later fragment of nobody's datagram is counted and not lifted") {
  Bench bench;
  bench.apply({entry(kFlow4, exact_mask(), 4)});
  bench.run(later4(7));  // before its first
  bench.lift_of(first4(7));
  bench.run(later4(8));              // another datagram
  bench.run(later4(7, 185, kIcmp));  // another protocol, which numbers its own
  bench.run(first4(9, 40001));       // a first fragment that matches nothing is not kept
  bench.run(later4(9));
  CHECK(bench.port().later_fragment == 4);
  CHECK(bench.port().unmatched == 1);
  CHECK(bench.lifted().empty());
  require_port_sums(bench.port(), 0);
}

TEST_CASE("A later fragment has the rights of its flow at its own time") {
  Bench bench;
  bench.apply({entry(kFlow4, exact_mask(), 4)});
  bench.lift_of(first4(7));
  bench.apply({});
  bench.run(later4(7));
  // The slot is another flow's by now.
  bench.apply({entry(kFlow6, exact_mask(), 4)});
  bench.run(later4(7));
  CHECK(bench.lifted().empty());
  CHECK(bench.port().unmatched == 2);
  CHECK(bench.flow(4).packets == 0);
}

TEST_CASE("A first fragment is forgotten after a second") {
  Bench bench;
  bench.apply({entry(kFlow4, exact_mask(), 4)});
  bench.lift_of(first4(7));
  bench.lift_of(later4(7));
  // Kept as if it had been seen a second earlier: time in the kernel cannot be turned.
  Bytes key(40), first(16);
  REQUIRE(bpf_map_get_next_key(bench.map_fd("datagrams"), nullptr, key.data()) == 0);
  REQUIRE(bpf_map_lookup_elem(bench.map_fd("datagrams"), key.data(), first.data()) == 0);
  std::uint64_t seen_ns = 0;
  std::memcpy(&seen_ns, first.data(), sizeof seen_ns);
  CHECK(seen_ns <= SystemClock().monotonic_ns());
  seen_ns -= 1'000'000'000;
  std::memcpy(first.data(), &seen_ns, sizeof seen_ns);
  REQUIRE(bpf_map_update_elem(bench.map_fd("datagrams"), key.data(), first.data(), BPF_EXIST) == 0);
  bench.run(later4(7));
  CHECK(bench.lifted().empty());
  CHECK(bench.port().later_fragment == 1);
}

TEST_CASE("More datagrams than are kept push out older ones and stop nothing") {
  Bench bench;
  bench.apply({entry(kFlow4, exact_mask(), 4, kForever, 1)});
  for (unsigned id = 0; id < 10'000; ++id) bench.run(first4(static_cast<std::uint16_t>(id)));
  bench.lifted();
  bench.lift_of(first4(10'000));
  bench.lift_of(later4(10'000));
  std::size_t kept = 0;
  Bytes key(40), next(40);
  bool more = bpf_map_get_next_key(bench.map_fd("datagrams"), nullptr, next.data()) == 0;
  while (more) {
    ++kept;
    key = next;
    more = bpf_map_get_next_key(bench.map_fd("datagrams"), key.data(), next.data()) == 0;
  }
  CHECK(kept <= 8192);
  CHECK(kept > 0);
}

}  // namespace fieldline
