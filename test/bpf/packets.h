// SPDX-License-Identifier: Apache-2.0
// Frames put together byte by byte, each layer around the one inside it.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/address.h"
#include "base/bytes.h"

namespace fieldline::packets {

constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kGre = 47, kEsp = 50, kIcmpV6 = 58,
                       kSctp = 132, kUdpLite = 136;
constexpr std::uint16_t kIpv4 = 0x0800, kIpv6 = 0x86dd, kVlan = 0x8100, kQinq = 0x88a8,
                        kQinqOld = 0x9100, kMpls = 0x8847, kArp = 0x0806, kTeb = 0x6558,
                        kErspan2 = 0x88be, kErspan3 = 0x22eb;

Bytes filler(std::size_t size);  // 0, 1, 2, ...

struct Tcp {
  std::uint16_t sport = 40000, dport = 443;
  std::uint32_t seq = 1000;
  Bytes options;  // a multiple of 4, at most 40
  std::uint16_t checksum = 0xbeef;
};
Bytes tcp(const Tcp& header, const Bytes& payload);

struct Udp {
  std::uint16_t sport = 40000, dport = 443;
  std::uint16_t checksum = 0xbeef;
  int length = -1;  // -1: the right one
};
Bytes udp(const Udp& header, const Bytes& payload);
Bytes icmp(std::uint8_t type, const Bytes& payload);

Bytes sctp(std::uint16_t sport, std::uint16_t dport, const Bytes& payload);
Bytes esp(std::uint32_t spi, const Bytes& payload);

struct Ipv4 {
  std::string_view src = "192.0.2.1", dst = "198.51.100.2";
  std::uint8_t protocol = kTcp;
  std::uint8_t tos = 0, ttl = 64;
  std::uint16_t id = 0x4242, fragment = 0x4000, checksum = 0x1111;
  Bytes options;    // a multiple of 4, at most 40
  int length = -1;  // total length; -1: the right one
};
Bytes ipv4(const Ipv4& header, const Bytes& body);

struct Ipv6 {
  std::string_view src = "2001:db8::1", dst = "2001:db8:1::2";
  std::uint8_t next = kTcp;  // of the fixed header
  std::uint8_t traffic_class = 0, hops = 64;
  std::uint32_t flow_label = 0;
  int length = -1;  // payload length; -1: the right one
};
Bytes ipv6(const Ipv6& header, const Bytes& body);

// Extension headers, to stand in front of an IPv6 body; `units` of 8 bytes behind the first 8.
Bytes extension(std::uint8_t next, std::uint8_t units = 0);
Bytes authentication(std::uint8_t next, std::uint8_t words = 4);  // `words` of 4 bytes, minus 2
Bytes fragment(std::uint8_t next, std::uint16_t offset_and_flags, std::uint32_t id);

// The first option's jumbo payload length, in a hop-by-hop header.
Bytes jumbo(std::uint8_t next, std::uint32_t length);

Bytes ethernet(std::uint16_t type, const Bytes& body);
// To stand behind a tag's EtherType: the tag, and what it names.
Bytes tagged(std::uint16_t type, const Bytes& body, std::uint16_t id = 5);
Bytes labelled(std::uint32_t label, bool bottom, const Bytes& body);

// Tunnels, each the payload of UDP or of IP's protocol 47.
Bytes vxlan(const Bytes& frame, std::uint8_t flags = 8);
Bytes geneve(std::uint16_t type, const Bytes& body, std::uint8_t option_words = 0,
             std::uint8_t version = 0);
// flags: 0x8000 checksum, 0x2000 key, 0x1000 sequence: their words are filled in.
Bytes gre(std::uint16_t type, const Bytes& body, std::uint16_t flags = 0);
Bytes erspan2(const Bytes& frame);                     // behind gre(kErspan2, .., 0x1000)
Bytes erspan3(const Bytes& frame, bool more = false);  // behind gre(kErspan3, .., 0x1000)
Bytes operator+(Bytes left, const Bytes& right);

}  // namespace fieldline::packets
