// SPDX-License-Identifier: Apache-2.0
// Triggers: recognised by their magic, handed over whole, never counted as a match.
#include <poll.h>

#include <catch2/catch.hpp>

#include "bench.h"
#include "packets.h"
#include "proto/trigger.h"

namespace fieldline {
namespace {

using namespace packets;

Bytes trigger_of(std::size_t size) {
  Bytes bytes = filler(size);
  std::memcpy(bytes.data(), FL_TRIGGER_MAGIC, std::min<std::size_t>(size, FL_TRIGGER_MAGIC_LEN));
  return bytes;
}

Bytes udp4(const Bytes& payload, std::uint16_t fragment = 0x4000, int length = -1) {
  return ethernet(kIpv4,
                  ipv4({.protocol = kUdp, .fragment = fragment}, udp({.length = length}, payload)));
}

}  // namespace

TEST_CASE("A trigger is lifted whole from UDP, ICMP and ICMPv6, echo request and reply") {
  const Bytes body = trigger_of(FL_TRIGGER_MIN);
  struct Case {
    Bytes frame;
    fl_flow_key outer;
  };
  const auto v4 = key_of("192.0.2.1", "198.51.100.2", kIcmp);
  const auto v6 = key_of("2001:db8::1", "2001:db8:1::2", kIcmpV6);
  const std::vector<Case> cases = {
      {udp4(body), key_of("192.0.2.1", "198.51.100.2", kUdp, 40000, 443)},
      {ethernet(kIpv6, ipv6({.next = kUdp}, udp({}, body))),
       key_of("2001:db8::1", "2001:db8:1::2", kUdp, 40000, 443)},
      {ethernet(kIpv4, ipv4({.protocol = kIcmp}, icmp(8, body))), v4},
      {ethernet(kIpv4, ipv4({.protocol = kIcmp}, icmp(0, body))), v4},
      {ethernet(kIpv6, ipv6({.next = kIcmpV6}, icmp(128, body))), v6},
      {ethernet(kIpv6, ipv6({.next = kIcmpV6}, icmp(129, body))), v6},
      {ethernet(kIpv6, ipv6({.next = 60}, extension(kIcmpV6) + icmp(129, body))), v6},
  };
  Bench bench;
  for (const auto& each : cases) {
    bench.run(each.frame);
    const auto got = bench.triggers();
    REQUIRE(got.size() == 1);
    CHECK(got[0].trigger == body);
    CHECK(got[0].lift.len == body.size());
    CHECK(std::memcmp(&got[0].lift.outer, &each.outer, sizeof each.outer) == 0);
  }
  CHECK(bench.port().triggers == cases.size());
  require_port_sums(bench.port(), cases.size());
}

TEST_CASE("A trigger is never a match, even for an entry of its own flow") {
  Bench bench;
  bench.apply({entry(key_of("192.0.2.1", "198.51.100.2", kUdp, 40000, 443), exact_mask(), 0)});
  bench.run(udp4(trigger_of(400)));
  CHECK(bench.flow(0).packets == 0);
  CHECK(bench.port().matched == 0);
  CHECK(bench.lifted().empty());
  CHECK(bench.triggers().size() == 1);
}

TEST_CASE("Only a trigger's possible lengths are lifted") {
  Bench bench;
  for (std::size_t size : {FL_TRIGGER_MIN, FL_TRIGGER_MAX}) {
    bench.run(udp4(trigger_of(size)));
    CHECK(bench.triggers().size() == 1);
  }
  for (std::size_t size : {FL_TRIGGER_MAGIC_LEN, FL_TRIGGER_MIN - 1, FL_TRIGGER_MAX + 1, 8000}) {
    bench.run(udp4(trigger_of(size)));
    bench.run(ethernet(kIpv4, ipv4({.protocol = kIcmp}, icmp(8, trigger_of(size)))));
  }
  CHECK(bench.triggers().empty());
  CHECK(bench.port().triggers == 10);
  CHECK(bench.port().triggers_bad_length == 8);
  require_port_sums(bench.port(), 2);
}

TEST_CASE("A UDP length that is not the datagram's is a bad length") {
  Bench bench;
  bench.run(udp4(trigger_of(400), 0x4000, 8 + 399));
  bench.run(udp4(trigger_of(400), 0x4000, 8 + 401));
  bench.run(udp4(trigger_of(400), 0x4000, 65535));
  CHECK(bench.port().triggers_bad_length == 3);
  // Without room for the magic by its own length it is an ordinary packet.
  bench.run(udp4(trigger_of(400), 0x4000, 15));
  bench.run(udp4(trigger_of(400), 0x4000, 0));
  CHECK(bench.port().unmatched == 2);
  require_port_sums(bench.port(), 0);
}

TEST_CASE("A trigger in a first fragment is counted and not lifted; an atomic fragment is whole") {
  Bench bench;
  bench.run(udp4(trigger_of(400), 0x2000));
  const Bytes datagram = udp({}, trigger_of(400));
  bench.run(ethernet(kIpv6, ipv6({.next = 44}, fragment(kUdp, 1, 7) + datagram)));
  CHECK(bench.port().triggers_fragmented == 2);
  CHECK(bench.triggers().empty());
  bench.run(ethernet(kIpv6, ipv6({.next = 44}, fragment(kUdp, 0, 7) + datagram)));
  CHECK(bench.triggers().size() == 1);
  require_port_sums(bench.port(), 1);
}

TEST_CASE("What lacks the magic or the carriage is no trigger") {
  Bench bench;
  Bytes nearly = trigger_of(400);
  nearly[7] ^= 1;
  bench.run(udp4(nearly));
  bench.run(udp4(trigger_of(7)));
  bench.run(ethernet(kIpv4, ipv4({}, tcp({}, trigger_of(400)))));
  bench.run(ethernet(kIpv4, ipv4({.protocol = kIcmp}, icmp(3, trigger_of(400)))));
  bench.run(ethernet(kIpv4, ipv4({.protocol = kIcmp}, icmp(13, trigger_of(400)))));
  bench.run(ethernet(kIpv6, ipv6({.next = kIcmpV6}, icmp(8, trigger_of(400)))));
  Bytes padded = udp4(Bytes{});
  append(padded, trigger_of(400));  // behind the datagram's end
  bench.run(padded);
  CHECK(bench.port().triggers == 0);
  CHECK(bench.port().unmatched == 7);
}

TEST_CASE("A full trigger ring is counted and wakes its reader once there is something") {
  Bench bench({.sizes = {64, 4096, 4096}});
  pollfd waiting{bench.map_fd("trigger_ring"), POLLIN, 0};
  CHECK(poll(&waiting, 1, 0) == 0);
  for (int i = 0; i < 10; ++i) bench.run(udp4(trigger_of(1000)));
  CHECK(poll(&waiting, 1, 1000) == 1);
  CHECK(bench.port().triggers_dropped_ring == 7);
  CHECK(bench.triggers().size() == 3);
  require_port_sums(bench.port(), 3);
}

}  // namespace fieldline
