// SPDX-License-Identifier: Apache-2.0
// What a packet's captured bytes say: its link header (Ethernet with VLAN tags and MPLS labels,
// others), IPv4 with options, IPv6 with extension headers, TCP with options, UDP, SCTP, ESP; the
// same of a packet that a tunnel carries.
#pragma once

#include <array>
#include <cstdint>

#include "base/address.h"
#include "base/bytes.h"

namespace fieldline::analysis {

constexpr std::uint8_t kTcp = 6, kUdp = 17;

enum TcpFlag : std::uint8_t { kFin = 1, kSyn = 2, kRst = 4, kAck = 16 };

struct SackBlock {
  std::uint32_t left = 0, right = 0;
};

constexpr std::uint8_t kNoWindowScale = 254;

struct TcpInfo {
  std::uint32_t sequence = 0, ack = 0;
  std::uint16_t window = 0;  // as in the header, not scaled
  std::uint8_t flags = 0;
  std::uint16_t mss = 0;                       // of a SYN; 0: not said
  std::uint8_t window_scale = kNoWindowScale;  // of a SYN, if it said one
  bool has_timestamp = false;
  std::uint32_t tsval = 0, tsecr = 0;
  std::uint8_t sacks = 0;
  std::array<SackBlock, 4> sack{};
};

// As much as could be read; `problem` names what stopped the parser, nullptr if nothing did.
// Members behind the stop are zero.
struct PacketInfo {
  const char* problem = nullptr;
  bool network = false;         // addresses, protocol and ttl are valid
  bool later_fragment = false;  // `problem` says so too: there is no transport header
  bool transport = false;       // ports, payload and (TCP) tcp are valid
  Address src, dst;
  std::uint8_t protocol = 0;
  std::uint8_t ttl = 0;                // or hop limit
  std::uint8_t depth = 0;              // how many tunnels stand around it
  std::uint16_t ip_id = 0;             // IPv4 alone
  std::uint16_t fragment = 0;          // IPv4 flags and offset, IPv6 offset field; 0: whole
  std::uint16_t sport = 0, dport = 0;  // of ESP the halves of its SPI
  std::uint32_t payload = 0;           // transport payload on the wire, from the IP header's length
  TcpInfo tcp;
  ByteView body;  // captured bytes behind the transport header
};

// Of the link header that a capture file's packets begin with, by its number (tcpdump.org,
// LINKTYPE_); nullptr where it is understood.
enum LinkType : std::uint16_t {
  kLinkNull = 0,
  kLinkEthernet = 1,
  kLinkRaw = 101,
  kLinkLinuxSll = 113,
  kLinkIp4 = 228,
  kLinkIp6 = 229,
  kLinkLinuxSll2 = 276
};
bool is_link_known(std::uint16_t link_type);
// Which interface of the host the packet was at, where the link header says so (`tcpdump -i any`);
// else 0.
std::uint32_t interface_inside(ByteView frame, std::uint16_t link_type);

constexpr unsigned kTunnelsMax = 2;
// As deep as tunnels can be read: what a capture's own flows are, whoever carries them.
constexpr unsigned kInnermost = kTunnelsMax + 1;

// depth: which packet of the frame is meant, as the record of a sensor says. wire_len stands in
// where the IP header has no length (super-packets above 64 KiB).
PacketInfo parse_packet(ByteView frame, std::uint32_t wire_len,
                        std::uint16_t link_type = kLinkEthernet, unsigned depth = kInnermost);

}  // namespace fieldline::analysis
