// SPDX-License-Identifier: Apache-2.0
#include "oracle.h"

#include <algorithm>

namespace fieldline::oracle {
namespace {

std::size_t u8(ByteView bytes, std::size_t at) {
  return bytes[at];
}
std::size_t u16(ByteView bytes, std::size_t at) {
  return bytes[at] << 8 | bytes[at + 1];
}
std::size_t u32(ByteView bytes, std::size_t at) {
  return u16(bytes, at) << 16 | u16(bytes, at + 2);
}

Bytes slice(ByteView bytes, std::size_t at, std::size_t size) {
  ByteView part = bytes.subspan(at, size);
  return {part.begin(), part.end()};
}

Bytes mapped(ByteView address) {
  Bytes out(10, 0);
  out.insert(out.end(), {0xff, 0xff});
  append(out, address);
  return out;
}

Bytes big_endian_of(std::size_t value) {
  Bytes out;
  for (int shift = 24; shift >= 0; shift -= 8) {
    out.push_back(static_cast<std::uint8_t>(value >> shift));
  }
  return out;
}

// What can be reached of the frame: its bytes up to the end of what is read, with offsets from its
// start; and how far one is.
struct Reach {
  ByteView bytes;
  std::size_t at = 0;

  bool has(std::size_t size) const { return at + size <= bytes.size(); }
  std::size_t left() const { return bytes.size() - at; }
};

// Everything about the IP layer that the digest and the key need.
struct Ip {
  Bytes src, dst;              // 16 each
  Bytes length, id, fragment;  // 4, 4, 2: as in fl_digest_input
  std::size_t protocol = 0;
  bool fragmented = false, later = false;
};

fl_unparsed read_v4(Reach& reach, Ip& ip) {
  if (!reach.has(20)) return FL_IP_TRUNCATED;
  const ByteView head = reach.bytes.subspan(reach.at);
  const std::size_t header = (u8(head, 0) & 15) * 4;
  std::size_t total = u16(head, 2);
  if (total == 0 && head.size() > 65535) total = head.size();
  if (u8(head, 0) >> 4 != 4 || header < 20 || total < header) return FL_IP_TRUNCATED;
  if (total > head.size()) return FL_IP_TRUNCATED;
  ip.later = u16(head, 6) & 0x1fff;
  ip.fragmented = !ip.later && (u16(head, 6) & 0x2000);
  ip.src = mapped(head.subspan(12, 4));
  ip.dst = mapped(head.subspan(16, 4));
  ip.length = big_endian_of(total);
  ip.id = {0, 0, head[4], head[5]};
  ip.fragment = {static_cast<std::uint8_t>(head[6] & 0x7f), head[7]};
  ip.protocol = u8(head, 9);
  reach.bytes = reach.bytes.first(reach.at + total);
  reach.at += header;
  return FL_PARSED;
}

bool is_extension(std::size_t type) {
  return type == 0 || type == 43 || type == 44 || type == 51 || type == 60;
}

fl_unparsed read_extensions(Reach& reach, Ip& ip) {
  for (int followed = 0; is_extension(ip.protocol); ++followed) {
    if (followed == 8) return FL_EXTENSIONS_TOO_MANY;
    if (!reach.has(8)) return FL_IP_TRUNCATED;
    const ByteView head = reach.bytes.subspan(reach.at);
    std::size_t size = (u8(head, 1) + 1) * 8;
    if (ip.protocol == 51) size = (u8(head, 1) + 2) * 4;
    const bool fragment = ip.protocol == 44;
    if (fragment) {
      size = 8;
      ip.later = u16(head, 2) & 0xfff8;
      ip.fragmented = !ip.later && (u16(head, 2) & 1);
      ip.fragment = slice(head, 2, 2);
      ip.id = slice(head, 4, 4);
    }
    ip.protocol = u8(head, 0);
    if (!reach.has(size)) return FL_IP_TRUNCATED;
    reach.at += size;
    if (ip.later) return FL_PARSED;
  }
  return FL_PARSED;
}

fl_unparsed read_v6(Reach& reach, Ip& ip) {
  if (!reach.has(40)) return FL_IP_TRUNCATED;
  const ByteView head = reach.bytes.subspan(reach.at);
  if (u8(head, 0) >> 4 != 6) return FL_IP_TRUNCATED;
  std::size_t payload = u16(head, 4);
  ip.protocol = u8(head, 6);
  if (payload == 0 && ip.protocol == 0) {
    if (head.size() < 48 || u16(head, 42) != 0xc204) return FL_JUMBO_INVALID;
    payload = u32(head, 44);
    if (payload < 65536) return FL_JUMBO_INVALID;
  }
  if (payload > head.size() - 40) return FL_IP_TRUNCATED;
  ip.src = slice(head, 8, 16);
  ip.dst = slice(head, 24, 16);
  ip.length = big_endian_of(payload);
  ip.id = {0, 0, 0, 0};
  ip.fragment = {0, 0};
  reach.at += 40;
  reach.bytes = reach.bytes.first(reach.at + payload);
  return read_extensions(reach, ip);
}

// From an EtherType to an IP header.
fl_unparsed read_link(Reach& reach, std::size_t& type) {
  for (int tags = 0; type == 0x8100 || type == 0x88a8 || type == 0x9100; ++tags) {
    if (tags == 4) return FL_TAGS_TOO_MANY;
    if (!reach.has(4)) return FL_LINK_TRUNCATED;
    type = u16(reach.bytes, reach.at + 2);
    reach.at += 4;
  }
  if (type == 0x8847 || type == 0x8848) {
    bool bottom = false;
    for (int labels = 0; !bottom; ++labels) {
      if (labels == 8) return FL_TAGS_TOO_MANY;
      if (!reach.has(4)) return FL_LINK_TRUNCATED;
      bottom = u8(reach.bytes, reach.at + 2) & 1;
      reach.at += 4;
    }
    if (!reach.has(1)) return FL_LINK_TRUNCATED;
    const std::size_t version = u8(reach.bytes, reach.at) >> 4;
    type = version == 4 ? 0x0800 : version == 6 ? 0x86dd : 0;
  }
  return type == 0x0800 || type == 0x86dd ? FL_PARSED : FL_NOT_IP;
}

struct Transport {
  std::size_t size = 0, checksum_at = 0, checksum_size = 0;
  bool ports = false;
};

Transport transport_of(std::size_t protocol) {
  switch (protocol) {
    case 6:
      return {20, 16, 2, true};
    case 17:
    case 136:
      return {8, 6, 2, true};
    case 1:
    case 58:
      return {8, 2, 2, false};
    case 132:
      return {12, 8, 4, true};
    case 50:
      return {8, 0, 0, true};
    default:
      return {};
  }
}

void append_padded(Bytes& to, ByteView bytes, std::size_t size) {
  append(to, bytes);
  to.insert(to.end(), size - bytes.size(), 0);
}

Bytes digest_input(const Reach& reach, const Ip& ip, const Transport& header) {
  Bytes transport = slice(reach.bytes, reach.at, header.size);
  std::fill_n(transport.begin() + static_cast<long>(header.checksum_at), header.checksum_size, 0);
  const std::size_t behind = reach.at + header.size;
  const Bytes payload =
      slice(reach.bytes, behind, std::min<std::size_t>(32, reach.bytes.size() - behind));
  Bytes out;
  for (const Bytes* part : {&ip.src, &ip.dst, &ip.length, &ip.id, &ip.fragment}) append(out, *part);
  out.push_back(static_cast<std::uint8_t>(ip.protocol));
  out.push_back(static_cast<std::uint8_t>(transport.size()));
  out.push_back(static_cast<std::uint8_t>(payload.size()));
  out.insert(out.end(), 3, 0);
  append_padded(out, transport, 64);
  append_padded(out, payload, 32);
  return out;
}

// From the EtherType whose header stands at reach.at.
Verdict read_packet(Reach reach, std::size_t type) {
  Verdict verdict;
  Ip ip;
  verdict.reason = read_link(reach, type);
  if (verdict.reason != FL_PARSED) return verdict;
  verdict.reason = type == 0x0800 ? read_v4(reach, ip) : read_v6(reach, ip);
  if (verdict.reason != FL_PARSED) return verdict;

  Transport header = ip.later ? Transport{} : transport_of(ip.protocol);
  if (reach.left() < header.size) return {FL_TRANSPORT_TRUNCATED};
  if (ip.protocol == 6 && !ip.later) {
    header.size = (u8(reach.bytes, reach.at + 12) >> 4) * 4;
    if (header.size < 20 || reach.left() < header.size) return {FL_TRANSPORT_TRUNCATED};
  }
  if (ip.later) verdict.reason = FL_LATER_FRAGMENT;

  std::copy(ip.src.begin(), ip.src.end(), verdict.key.src);
  std::copy(ip.dst.begin(), ip.dst.end(), verdict.key.dst);
  if (header.ports) {
    std::memcpy(&verdict.key.sport, &reach.bytes[reach.at], 2);
    std::memcpy(&verdict.key.dport, &reach.bytes[reach.at + 2], 2);
  }
  verdict.key.protocol = static_cast<__u8>(ip.protocol);
  verdict.header_end = reach.at + header.size;
  verdict.ip_end = reach.bytes.size();
  verdict.fragmented = ip.fragmented;
  verdict.digest_input = digest_input(reach, ip, header);
  return verdict;
}

Verdict read_ethernet(Reach reach) {
  if (!reach.has(14)) return {FL_NOT_IP};
  const std::size_t type = u16(reach.bytes, reach.at + 12);
  reach.at += 14;
  return read_packet(reach, type);
}

// What an encapsulation's header says stands behind it, or nothing if it is no good.
struct Opened {
  std::size_t type, size;
};
constexpr std::size_t kFrame = 0x6558;

std::optional<Opened> open_erspan(ByteView gre, std::size_t size, std::size_t type, bool numbered) {
  const bool third = type == 0x22eb;
  if (!third && !numbered) return Opened{kFrame, size};
  const std::size_t own = third ? 12 : 8;
  if (gre.size() < size + own) return {};
  if (u8(gre, size) >> 4 != (third ? 2u : 1u)) return {};
  const std::size_t more = third && (u8(gre, size + 11) & 1) ? 8 : 0;
  return Opened{kFrame, size + own + more};
}

std::optional<Opened> open_gre(ByteView gre) {
  if (gre.size() < 4) return {};
  const std::size_t flags = u16(gre, 0), type = u16(gre, 2);
  if ((flags & ~std::size_t{0xb000}) != 0) return {};
  std::size_t size = 4;
  for (const std::size_t flag : {0x8000, 0x2000, 0x1000}) size += (flags & flag) ? 4 : 0;
  if (gre.size() < size) return {};
  if (type == 0x88be || type == 0x22eb) return open_erspan(gre, size, type, flags & 0x1000);
  return Opened{type, size};
}

std::optional<Opened> open_udp(ByteView body, bool vxlan) {
  if (body.size() < 8) return {};
  if (vxlan) return (body[0] & 8) ? std::optional(Opened{kFrame, 8}) : std::nullopt;
  if (body[0] >> 6 != 0) return {};
  return Opened{u16(body, 2), 8 + (body[0] & 63u) * 4};
}

}  // namespace

Verdict read(ByteView frame) {
  return read_ethernet({frame, 0});
}

std::optional<Verdict> read_inside(ByteView frame, const Verdict& outer) {
  const unsigned protocol = outer.key.protocol, port = big_endian(outer.key.dport);
  const bool vxlan = protocol == 17 && port == 4789, geneve = protocol == 17 && port == 6081;
  if (!vxlan && !geneve && protocol != 47 && protocol != 4 && protocol != 41) return {};
  if (outer.fragmented) return Verdict{FL_TUNNEL_FRAGMENTED};
  Reach reach{frame.first(outer.ip_end), outer.header_end};
  const ByteView body = reach.bytes.subspan(reach.at);
  std::optional<Opened> opened;
  if (protocol == 4) opened = Opened{0x0800, 0};
  if (protocol == 41) opened = Opened{0x86dd, 0};
  if (protocol == 47) opened = open_gre(body);
  if (vxlan || geneve) opened = open_udp(body, vxlan);
  if (!opened || !reach.has(opened->size)) return Verdict{FL_TUNNEL_INVALID};
  reach.at += opened->size;
  Verdict inner = opened->type == kFrame ? read_ethernet(reach) : read_packet(reach, opened->type);
  inner.key.where = FL_KEY_INSIDE;
  return inner;
}

std::uint64_t siphash(unsigned c, unsigned d, ByteView key, ByteView data) {
  auto word_at = [](ByteView bytes, std::size_t at) {
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < 8 && at + i < bytes.size(); ++i) {
      word |= static_cast<std::uint64_t>(bytes[at + i]) << (8 * i);
    }
    return word;
  };
  auto rotl = [](std::uint64_t x, int by) { return x << by | x >> (64 - by); };
  const std::uint64_t k0 = word_at(key, 0), k1 = word_at(key, 8);
  std::uint64_t v0 = k0 ^ 0x736f6d6570736575, v1 = k1 ^ 0x646f72616e646f6d;
  std::uint64_t v2 = k0 ^ 0x6c7967656e657261, v3 = k1 ^ 0x7465646279746573;
  auto rounds = [&](unsigned n) {
    while (n--) {
      v0 += v1, v2 += v3, v1 = rotl(v1, 13), v3 = rotl(v3, 16), v1 ^= v0, v3 ^= v2,
                          v0 = rotl(v0, 32);
      v2 += v1, v0 += v3, v1 = rotl(v1, 17), v3 = rotl(v3, 21), v1 ^= v2, v3 ^= v0,
                          v2 = rotl(v2, 32);
    }
  };
  const std::size_t whole = data.size() / 8 * 8;
  for (std::size_t at = 0; at <= whole; at += 8) {
    std::uint64_t m = word_at(data, at);
    if (at == whole) m |= static_cast<std::uint64_t>(data.size()) << 56;
    v3 ^= m;
    rounds(c);
    v0 ^= m;
  }
  v2 ^= 0xff;
  rounds(d);
  return v0 ^ v1 ^ v2 ^ v3;
}

std::uint64_t digest(ByteView digest_input) {
  // 0x66696c646c696e65 and 0x6469676573740001, little-endian.
  static constexpr std::uint8_t key[16] = {0x65, 0x6e, 0x69, 0x6c, 0x64, 0x6c, 0x69, 0x66,
                                           0x01, 0x00, 0x74, 0x73, 0x65, 0x67, 0x69, 0x64};
  return siphash(1, 3, key, digest_input);
}

}  // namespace fieldline::oracle
