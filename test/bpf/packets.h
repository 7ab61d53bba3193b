// SPDX-License-Identifier: Apache-2.0
// Frames put together byte by byte, each layer around the one inside it.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/address.h"
#include "base/bytes.h"

namespace fieldline::packets {

constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kIcmpV6 = 58;
constexpr std::uint16_t kIpv4 = 0x0800, kIpv6 = 0x86dd, kVlan = 0x8100, kArp = 0x0806;

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

Bytes ethernet(std::uint16_t type, const Bytes& body);
Bytes operator+(Bytes left, const Bytes& right);

}  // namespace fieldline::packets
