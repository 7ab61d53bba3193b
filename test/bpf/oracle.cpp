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

// Everything about the IP layer that the digest and the key need; offsets from the start of the
// frame.
struct Ip {
  Bytes src, dst;              // 16 each
  Bytes length, id, fragment;  // 4, 4, 2: as in fl_digest_input
  std::size_t protocol = 0, transport = 0, end = 0;
  bool fragmented = false;
};

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

Kind read_v4(ByteView frame, Ip& ip) {
  const std::size_t at = 14;
  if (frame.size() < at + 20) return Kind::ip_truncated;
  const std::size_t header = (u8(frame, at) & 15) * 4, total = u16(frame, at + 2);
  if (u8(frame, at) >> 4 != 4 || header < 20 || total < header) return Kind::ip_truncated;
  if (at + total > frame.size()) return Kind::ip_truncated;
  if (u16(frame, at + 6) & 0x1fff) return Kind::later_fragment;
  ip.fragmented = u16(frame, at + 6) & 0x2000;
  ip.src = mapped(frame.subspan(at + 12, 4));
  ip.dst = mapped(frame.subspan(at + 16, 4));
  ip.length = {0, 0, frame[at + 2], frame[at + 3]};
  ip.id = {0, 0, frame[at + 4], frame[at + 5]};
  ip.fragment = {static_cast<std::uint8_t>(frame[at + 6] & 0x7f), frame[at + 7]};
  ip.protocol = u8(frame, at + 9);
  ip.transport = at + header;
  ip.end = at + total;
  return Kind::packet;
}

bool is_extension(std::size_t type) {
  return type == 0 || type == 43 || type == 44 || type == 51 || type == 60;
}

Kind read_v6(ByteView frame, Ip& ip) {
  std::size_t at = 14;
  if (frame.size() < at + 40 || u8(frame, at) >> 4 != 6) return Kind::ip_truncated;
  ip.end = at + 40 + u16(frame, at + 4);
  if (ip.end > frame.size()) return Kind::ip_truncated;
  ip.src = slice(frame, at + 8, 16);
  ip.dst = slice(frame, at + 24, 16);
  ip.length = {0, 0, frame[at + 4], frame[at + 5]};
  ip.id = {0, 0, 0, 0};
  ip.fragment = {0, 0};
  std::size_t type = u8(frame, at + 6);
  at += 40;
  for (int followed = 0; is_extension(type); ++followed) {
    if (followed == 8) return Kind::extensions_too_many;
    if (at + 8 > ip.end) return Kind::ip_truncated;
    std::size_t size = (u8(frame, at + 1) + 1) * 8;
    if (type == 51) size = (u8(frame, at + 1) + 2) * 4;
    if (type == 44) {
      size = 8;
      if (u16(frame, at + 2) & 0xfff8) return Kind::later_fragment;
      ip.fragmented = u16(frame, at + 2) & 1;
      ip.fragment = slice(frame, at + 2, 2);
      ip.id = slice(frame, at + 4, 4);
    }
    type = u8(frame, at);
    at += size;
    if (at > ip.end) return Kind::ip_truncated;
  }
  ip.protocol = type;
  ip.transport = at;
  return Kind::packet;
}

void append_padded(Bytes& to, ByteView bytes, std::size_t size) {
  append(to, bytes);
  to.insert(to.end(), size - bytes.size(), 0);
}

Bytes digest_input(ByteView frame, const Ip& ip, std::size_t header_end, std::size_t checksum_at) {
  Bytes transport = slice(frame, ip.transport, header_end - ip.transport);
  if (!transport.empty()) transport[checksum_at] = transport[checksum_at + 1] = 0;
  const Bytes payload = slice(frame, header_end, std::min<std::size_t>(32, ip.end - header_end));
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

}  // namespace

Verdict read(ByteView frame) {
  Verdict verdict;
  Ip ip;
  const std::size_t type = u16(frame, 12);
  verdict.kind = type == 0x0800   ? read_v4(frame, ip)
                 : type == 0x86dd ? read_v6(frame, ip)
                                  : Kind::not_ip;
  if (verdict.kind != Kind::packet) return verdict;

  const std::size_t at = ip.transport, left = ip.end - at;
  std::size_t header = 0, checksum_at = 0;
  if (ip.protocol == 6) {
    if (left < 20) return {Kind::transport_truncated};
    header = (u8(frame, at + 12) >> 4) * 4;
    checksum_at = 16;
    if (header < 20) return {Kind::transport_truncated};
  } else if (ip.protocol == 17 || ip.protocol == 1 || ip.protocol == 58) {
    header = 8;
    checksum_at = ip.protocol == 17 ? 6 : 2;
  }
  if (left < header) return {Kind::transport_truncated};

  std::copy(ip.src.begin(), ip.src.end(), verdict.key.src);
  std::copy(ip.dst.begin(), ip.dst.end(), verdict.key.dst);
  if (ip.protocol == 6 || ip.protocol == 17) {
    std::memcpy(&verdict.key.sport, &frame[at], 2);
    std::memcpy(&verdict.key.dport, &frame[at + 2], 2);
  }
  verdict.key.protocol = static_cast<__u8>(ip.protocol);
  verdict.header_end = at + header;
  verdict.ip_end = ip.end;
  verdict.fragmented = ip.fragmented;
  verdict.digest_input = digest_input(frame, ip, verdict.header_end, checksum_at);
  return verdict;
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
