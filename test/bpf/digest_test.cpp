// SPDX-License-Identifier: Apache-2.0
// The digest: equal wherever no router changed the packet, different wherever a field differs.
#include "proto/digest.h"

#include <catch2/catch.hpp>

#include "bench.h"
#include "oracle.h"
#include "packets.h"

namespace fieldline {
namespace {

using namespace packets;

class Digests {
 public:
  Digests() {
    bench_.apply({entry({}, fl_flow_key{}, 0)});  // the empty mask: every packet
  }
  std::uint64_t of(const Bytes& frame) {
    const Lifted got = bench_.lift_of(frame);
    CHECK(got.lift.digest == oracle::digest(oracle::read(frame).digest_input));
    return got.lift.digest;
  }

 private:
  Bench bench_;
};

Bytes tcp4(const Ipv4& ip, const Tcp& header = {}, const Bytes& payload = filler(100)) {
  return ethernet(kIpv4, ipv4(ip, tcp(header, payload)));
}
Bytes tcp6(const Ipv6& ip, const Tcp& header = {}) {
  return ethernet(kIpv6, ipv6(ip, tcp(header, filler(100))));
}

}  // namespace

TEST_CASE("SipHash is the published one") {
  // Reference vectors of SipHash-2-4: key 00..0f, input 00..(n-1) (Aumasson and Bernstein, 2012).
  const Bytes key = filler(16);
  CHECK(oracle::siphash(2, 4, key, {}) == 0x726fdb47dd0e0e31);
  CHECK(oracle::siphash(2, 4, key, filler(8)) == 0x93f5f5799a932462);
  CHECK(oracle::siphash(2, 4, key, filler(15)) == 0xa129ca6149be45e5);
  CHECK(fl_digest_of_run(key.data(), 0x0706050403020100) == 0x93f5f5799a932462);
}

TEST_CASE("A header record's digest depends on the run and on the packet") {
  const Bytes one = filler(16), other = Bytes(16, 9);
  CHECK(fl_digest_of_run(one.data(), 1) ==
        oracle::siphash(2, 4, one, Bytes{1, 0, 0, 0, 0, 0, 0, 0}));
  CHECK(fl_digest_of_run(one.data(), 1) != fl_digest_of_run(other.data(), 1));
  CHECK(fl_digest_of_run(one.data(), 1) != fl_digest_of_run(one.data(), 2));
}

TEST_CASE("The classifier's digest is that of user space for every form of packet") {
  Digests digests;
  for (std::size_t payload : {0, 1, 31, 32, 33, 1400}) {
    for (std::size_t options : {0, 4, 12, 40}) {
      digests.of(tcp4({}, {.options = Bytes(options, 7)}, filler(payload)));
      digests.of(tcp4({.options = Bytes(options, 7)}, {}, filler(payload)));
    }
    digests.of(
        ethernet(kIpv4, ipv4({.protocol = kUdp, .fragment = 0x2000}, udp({}, filler(payload)))));
    digests.of(ethernet(kIpv4, ipv4({.protocol = kIcmp}, icmp(8, filler(payload)))));
    digests.of(ethernet(kIpv4, ipv4({.protocol = 47}, filler(payload))));
    digests.of(ethernet(kIpv6, ipv6({.next = kUdp}, udp({}, filler(payload)))));
    digests.of(ethernet(kIpv6, ipv6({.next = kIcmpV6}, icmp(128, filler(payload)))));
    digests.of(
        ethernet(kIpv6, ipv6({.next = 44}, fragment(kTcp, 1, 5) + tcp({}, filler(payload)))));
    digests.of(ethernet(kIpv6, ipv6({.next = 59}, filler(payload))));
  }
}

TEST_CASE("The digest as proto/digest.h computes it in C++ is the same") {
  const Bytes input = oracle::read(tcp4({})).digest_input;
  fl_digest_input in;
  REQUIRE(input.size() == sizeof in);
  std::memcpy(&in, input.data(), sizeof in);
  CHECK(fl_digest(&in) == oracle::digest(input));
}

TEST_CASE("What a router changes does not change the digest") {
  Digests digests;
  const auto v4 = digests.of(tcp4({}));
  CHECK(digests.of(tcp4({.ttl = 3})) == v4);
  CHECK(digests.of(tcp4({.tos = 0xb8})) == v4);
  CHECK(digests.of(tcp4({.tos = 0x03})) == v4);
  CHECK(digests.of(tcp4({.checksum = 0x2222})) == v4);
  CHECK(digests.of(tcp4({}, {.checksum = 1})) == v4);
  CHECK(digests.of(tcp4({.fragment = 0xc000})) == v4);  // the reserved bit
  Bytes other_link = tcp4({});
  other_link[0] = other_link[6] = 4;
  CHECK(digests.of(other_link) == v4);
  Bytes padded = tcp4({});
  padded.insert(padded.end(), 20, 0xaa);
  CHECK(digests.of(padded) == v4);
  const auto v6 = digests.of(tcp6({}));
  CHECK(digests.of(tcp6({.traffic_class = 0xff})) == v6);
  CHECK(digests.of(tcp6({.hops = 1})) == v6);
  CHECK(digests.of(tcp6({.flow_label = 0xabcde})) == v6);
}

TEST_CASE("What tells one packet from another changes the digest") {
  Digests digests;
  std::vector<std::uint64_t> seen = {
      digests.of(tcp4({})),
      digests.of(tcp4({}, {.seq = 1001})),
      digests.of(tcp4({.id = 0x4243})),
      digests.of(tcp4({.fragment = 0})),
      digests.of(tcp4({.fragment = 0x2000})),
      digests.of(tcp4({.src = "192.0.2.3"})),
      digests.of(tcp4({.dst = "192.0.2.3"})),
      digests.of(tcp4({}, {.sport = 40001})),
      digests.of(tcp4({}, {.options = Bytes(4, 1)})),
      digests.of(tcp4({}, {.options = Bytes(4, 2)})),
      digests.of(tcp4({}, {}, filler(101))),
      digests.of(tcp4({}, {}, filler(99))),
      digests.of(tcp6({})),
      digests.of(ethernet(kIpv6, ipv6({.next = 44}, fragment(kTcp, 0, 5) + tcp({}, filler(100))))),
      digests.of(ethernet(kIpv6, ipv6({.next = 44}, fragment(kTcp, 0, 6) + tcp({}, filler(100))))),
  };
  Bytes flipped = filler(100);
  flipped[31] ^= 1;
  seen.push_back(digests.of(tcp4({}, {}, flipped)));
  std::sort(seen.begin(), seen.end());
  CHECK(std::adjacent_find(seen.begin(), seen.end()) == seen.end());
  // Payload beyond the first 32 bytes does not take part.
  flipped = filler(100);
  flipped[32] ^= 1;
  CHECK(digests.of(tcp4({}, {}, flipped)) == digests.of(tcp4({})));
}

}  // namespace fieldline
