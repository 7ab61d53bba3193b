// SPDX-License-Identifier: Apache-2.0
#include "analysis/tunnel.h"

#include <netinet/in.h>

namespace fieldline::analysis {
namespace {

constexpr std::uint16_t kVxlanPort = 4789, kGenevePort = 6081;
constexpr std::uint16_t kErspan2 = 0x88be, kErspan3 = 0x22eb;

std::uint16_t be16(ByteView bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

std::optional<Tunnel> checked(Tunnel tunnel, ByteView body) {
  return tunnel.header <= body.size() ? std::optional(tunnel) : std::nullopt;
}

// ERSPAN type I is GRE's header alone; type II and III add one of their own.
std::optional<Tunnel> erspan(std::uint16_t type, bool numbered, std::size_t gre, ByteView body) {
  if (type == kErspan2 && !numbered) return Tunnel{kEtherFrame, gre};
  const std::size_t own = type == kErspan3 ? 12 : 8;
  const unsigned version = type == kErspan3 ? 2 : 1;
  if (body.size() < gre + own || body[gre] >> 4 != version) return {};
  const bool more = type == kErspan3 && (body[gre + 11] & 1) != 0;
  return checked({kEtherFrame, gre + own + (more ? 8 : 0)}, body);
}

std::optional<Tunnel> gre(ByteView body) {
  constexpr unsigned checksum = 0x8000, key = 0x2000, sequence = 0x1000;
  if (body.size() < 4) return {};
  const unsigned flags = be16(body, 0);
  if ((flags & ~(checksum | key | sequence)) != 0) return {};
  std::size_t header = 4;
  for (const unsigned flag : {checksum, key, sequence}) header += (flags & flag) != 0 ? 4 : 0;
  const std::uint16_t type = be16(body, 2);
  if (type == kErspan2 || type == kErspan3)
    return erspan(type, (flags & sequence) != 0, header, body);
  return checked({type, header}, body);
}

}  // namespace

std::optional<Tunnel> tunnel_of(std::uint8_t protocol, std::uint16_t dport, ByteView body) {
  if (protocol == IPPROTO_IPIP) return Tunnel{0x0800, 0};
  if (protocol == IPPROTO_IPV6) return Tunnel{0x86dd, 0};
  if (protocol == IPPROTO_GRE) return gre(body);
  if (protocol != IPPROTO_UDP || body.size() < 8) return {};
  if (dport == kVxlanPort && (body[0] & 0x08) != 0) return Tunnel{kEtherFrame, 8};
  if (dport == kGenevePort && body[0] >> 6 == 0)
    return checked({be16(body, 2), 8 + (body[0] & 0x3fu) * 4}, body);
  return {};
}

}  // namespace fieldline::analysis
