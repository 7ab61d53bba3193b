// SPDX-License-Identifier: Apache-2.0
#include "analysis/packet.h"

#include <netinet/in.h>

#include <algorithm>
#include <optional>

#include "analysis/tunnel.h"

namespace fieldline::analysis {
namespace {

constexpr std::uint16_t kEtherIp4 = 0x0800, kEtherIp6 = 0x86dd;
constexpr unsigned kTagsMax = 4, kLabelsMax = 8, kExtensionsMax = 8;

std::uint16_t be16(ByteView bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}
std::uint32_t be32(ByteView bytes, std::size_t at) {
  return static_cast<std::uint32_t>(be16(bytes, at)) << 16 | be16(bytes, at + 2);
}

// Where the parser stands: the captured rest, and how many bytes of the packet are left on the
// wire.
struct Cursor {
  ByteView rest;
  std::uint32_t on_wire = 0;

  bool has(std::size_t n) const { return rest.size() >= n; }
  void skip(std::size_t n) {
    rest = rest.subspan(n);
    on_wire -= std::min(on_wire, static_cast<std::uint32_t>(n));
  }
};

const char* read_ip4(Cursor& at, PacketInfo& info) {
  if (!at.has(20)) return "ip_truncated";
  const ByteView ip = at.rest;
  const std::size_t header = (ip[0] & 0xf) * 4u;
  const std::uint16_t total = be16(ip, 2);
  if (ip[0] >> 4 != 4 || header < 20 || (total != 0 && total < header)) return "ip_invalid";
  info.ttl = ip[8];
  info.protocol = ip[9];
  info.ip_id = be16(ip, 4);
  info.src.bytes[10] = info.src.bytes[11] = info.dst.bytes[10] = info.dst.bytes[11] = 0xff;
  std::copy_n(ip.begin() + 12, 4, info.src.bytes.begin() + 12);
  std::copy_n(ip.begin() + 16, 4, info.dst.bytes.begin() + 12);
  info.network = true;
  info.fragment = be16(ip, 6) & 0x7fff;
  info.later_fragment = (info.fragment & 0x1fff) != 0;
  if (info.later_fragment) return "later_fragment";
  if (!at.has(header)) return "ip_truncated";
  if (total != 0) at.on_wire = total;
  at.skip(header);
  return nullptr;
}

const char* read_ip6_extensions(Cursor& at, PacketInfo& info) {
  for (unsigned seen = 0;; ++seen) {
    const std::uint8_t type = info.protocol;
    const bool fragment = type == 44, authentication = type == 51;
    if (type != 0 && type != 43 && type != 60 && type != 135 && !fragment && !authentication) {
      return nullptr;
    }
    if (seen == kExtensionsMax) return "extensions_too_many";
    if (!at.has(8)) return "ip_truncated";
    if (fragment) info.fragment = be16(at.rest, 2);
    info.later_fragment = fragment && (info.fragment & 0xfff8) != 0;
    if (info.later_fragment) return "later_fragment";
    const std::size_t units = at.rest[1];
    const std::size_t length = fragment ? 8 : authentication ? (units + 2) * 4 : (units + 1) * 8;
    if (!at.has(length)) return "ip_truncated";
    info.protocol = at.rest[0];
    at.skip(length);
  }
}

const char* read_ip6(Cursor& at, PacketInfo& info) {
  if (!at.has(40)) return "ip_truncated";
  const ByteView ip = at.rest;
  if (ip[0] >> 4 != 6) return "ip_invalid";
  info.protocol = ip[6];
  info.ttl = ip[7];
  std::copy_n(ip.begin() + 8, 16, info.src.bytes.begin());
  std::copy_n(ip.begin() + 24, 16, info.dst.bytes.begin());
  info.network = true;
  if (const std::uint16_t length = be16(ip, 4); length != 0) at.on_wire = 40u + length;
  at.skip(40);
  return read_ip6_extensions(at, info);
}

void read_sack(ByteView body, TcpInfo& tcp) {
  for (std::size_t at = 0; at + 8 <= body.size() && tcp.sacks < tcp.sack.size(); at += 8) {
    tcp.sack[tcp.sacks++] = {be32(body, at), be32(body, at + 4)};
  }
}

// A malformed option ends the list: what stood before it is kept.
void read_tcp_options(ByteView options, TcpInfo& tcp) {
  std::size_t at = 0;
  while (at < options.size()) {
    const std::uint8_t kind = options[at];
    if (kind == 0) return;
    if (kind == 1) {
      ++at;
      continue;
    }
    if (at + 2 > options.size()) return;
    const std::size_t length = options[at + 1];
    if (length < 2 || at + length > options.size()) return;
    const ByteView body = options.subspan(at + 2, length - 2);
    if (kind == 8 && body.size() == 8) {
      tcp.has_timestamp = true;
      tcp.tsval = be32(body, 0);
      tcp.tsecr = be32(body, 4);
    } else if (kind == 2 && body.size() == 2) {
      tcp.mss = be16(body, 0);
    } else if (kind == 3 && body.size() == 1) {
      tcp.window_scale = std::min<std::uint8_t>(body[0], 14);  // RFC 7323
    } else if (kind == 5) {
      read_sack(body, tcp);
    }
    at += length;
  }
}

const char* read_tcp(Cursor& at, PacketInfo& info) {
  if (!at.has(20)) return "transport_truncated";
  const ByteView tcp = at.rest;
  const std::size_t header = (tcp[12] >> 4) * 4u;
  if (header < 20 || header > at.on_wire) return "transport_invalid";
  info.sport = be16(tcp, 0);
  info.dport = be16(tcp, 2);
  info.tcp.sequence = be32(tcp, 4);
  info.tcp.ack = be32(tcp, 8);
  info.tcp.flags = tcp[13];
  info.tcp.window = be16(tcp, 14);
  info.payload = at.on_wire - static_cast<std::uint32_t>(header);
  info.transport = true;
  if (!at.has(header)) {
    read_tcp_options(tcp.subspan(20), info.tcp);
    return "options_truncated";
  }
  read_tcp_options(tcp.subspan(20, header - 20), info.tcp);
  info.body = tcp.subspan(header, std::min<std::size_t>(tcp.size() - header, info.payload));
  return nullptr;
}

// 0: a protocol without ports. ESP's SPI stands where ports do.
std::size_t header_with_ports(std::uint8_t protocol) {
  switch (protocol) {
    case IPPROTO_UDP:
    case IPPROTO_UDPLITE:
    case IPPROTO_ESP:
      return 8;
    case IPPROTO_SCTP:
      return 12;
    default:
      return 0;
  }
}

const char* read_transport(Cursor& at, PacketInfo& info) {
  if (info.protocol == kTcp) return read_tcp(at, info);
  if (const std::size_t header = header_with_ports(info.protocol); header != 0) {
    if (!at.has(header)) return "transport_truncated";
    if (at.on_wire < header) return "transport_invalid";
    info.sport = be16(at.rest, 0);
    info.dport = be16(at.rest, 2);
    at.skip(header);
  }
  info.payload = at.on_wire;
  info.body = at.rest.first(std::min<std::size_t>(at.rest.size(), info.payload));
  info.transport = true;
  return nullptr;
}

// What stands behind an EtherType: tags, labels, IP and what it carries.
const char* read_packet(Cursor& at, std::uint16_t type, PacketInfo& info) {
  for (unsigned tags = 0; type == 0x8100 || type == 0x88a8 || type == 0x9100; ++tags) {
    if (tags == kTagsMax) return "tags_too_many";
    if (!at.has(4)) return "link_truncated";
    type = be16(at.rest, 2);
    at.skip(4);
  }
  if (type == 0x8847 || type == 0x8848) {
    bool bottom = false;
    for (unsigned labels = 0; !bottom; ++labels) {
      if (labels == kLabelsMax) return "tags_too_many";
      if (!at.has(5)) return "link_truncated";
      bottom = (at.rest[2] & 1) != 0;
      at.skip(4);
    }
    const unsigned version = at.rest[0] >> 4;
    type = version == 4 ? kEtherIp4 : version == 6 ? kEtherIp6 : 0;
  }
  if (type != kEtherIp4 && type != kEtherIp6) return "not_ip";
  if (const char* problem = type == kEtherIp4 ? read_ip4(at, info) : read_ip6(at, info)) {
    return problem;
  }
  return read_transport(at, info);
}

// How many bytes a link header has, and where its EtherType stands; at > size: the IP version
// tells.
struct LinkHeader {
  std::size_t size, type_at;
};

std::optional<LinkHeader> header_of(std::uint16_t link_type) {
  switch (link_type) {
    case kLinkEthernet:
      return LinkHeader{14, 12};
    case kLinkLinuxSll:
      return LinkHeader{16, 14};
    case kLinkLinuxSll2:
      return LinkHeader{20, 0};
    case kLinkNull:
      return LinkHeader{4, SIZE_MAX};
    case kLinkRaw:
    case kLinkIp4:
    case kLinkIp6:
      return LinkHeader{0, SIZE_MAX};
    default:
      return std::nullopt;
  }
}

const char* read_frame(Cursor& at, std::uint16_t link_type, PacketInfo& info) {
  const auto link = header_of(link_type);
  if (!link) return "link_unknown";
  if (!at.has(std::max<std::size_t>(link->size, 1))) return "link_truncated";
  const bool typed = link->type_at < link->size;
  std::uint16_t type = typed ? be16(at.rest, link->type_at) : 0;
  at.skip(link->size);
  if (!typed) type = at.has(1) && at.rest[0] >> 4 == 6 ? kEtherIp6 : kEtherIp4;
  return read_packet(at, type, info);
}

// The packet that this one carries. Without `must` it stays what it is unless there is an IP header
// inside.
bool step_inside(PacketInfo& info, bool must) {
  // A fragment holds no whole packet: 0x4000 is IPv4's "don't fragment".
  const bool whole = info.transport && (info.fragment & ~0x4000) == 0;
  const auto tunnel =
      whole ? tunnel_of(info.protocol, info.dport, info.body) : std::optional<Tunnel>{};
  if (!tunnel && !must) return false;
  PacketInfo inner;
  inner.depth = static_cast<std::uint8_t>(info.depth + 1);
  if (!tunnel) {
    inner.problem = "tunnel_invalid";
  } else {
    Cursor at{info.body, info.payload};
    at.skip(tunnel->header);
    inner.problem = tunnel->type == kEtherFrame ? read_frame(at, kLinkEthernet, inner)
                                                : read_packet(at, tunnel->type, inner);
    if (!must && !inner.network) return false;
  }
  info = inner;
  return true;
}

}  // namespace

bool is_link_known(std::uint16_t link_type) {
  return header_of(link_type).has_value();
}

std::uint32_t interface_inside(ByteView frame, std::uint16_t link_type) {
  return link_type == kLinkLinuxSll2 && frame.size() >= 8 ? be32(frame, 4) : 0;
}

PacketInfo parse_packet(ByteView frame, std::uint32_t wire_len, std::uint16_t link_type,
                        unsigned depth) {
  PacketInfo info;
  Cursor at{frame, wire_len};
  info.problem = read_frame(at, link_type, info);
  while (info.depth < std::min(depth, kTunnelsMax) && step_inside(info, depth <= kTunnelsMax)) {
  }
  return info;
}

}  // namespace fieldline::analysis
