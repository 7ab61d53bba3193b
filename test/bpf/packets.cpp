// SPDX-License-Identifier: Apache-2.0
#include "packets.h"

namespace fieldline::packets {
namespace {

void put16(Bytes& to, std::uint32_t value) {
  to.push_back(static_cast<std::uint8_t>(value >> 8));
  to.push_back(static_cast<std::uint8_t>(value));
}
void put32(Bytes& to, std::uint32_t value) {
  put16(to, value >> 16);
  put16(to, value);
}
std::uint32_t length_or(int given, std::size_t right) {
  return given >= 0 ? static_cast<std::uint32_t>(given) : static_cast<std::uint32_t>(right);
}

}  // namespace

Bytes filler(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i);
  return bytes;
}

Bytes operator+(Bytes left, const Bytes& right) {
  append(left, right);
  return left;
}

Bytes tcp(const Tcp& header, const Bytes& payload) {
  Bytes out;
  put16(out, header.sport);
  put16(out, header.dport);
  put32(out, header.seq);
  put32(out, 77);
  out.push_back(static_cast<std::uint8_t>((5 + header.options.size() / 4) << 4));
  out.push_back(0x18);
  put16(out, 1024);
  put16(out, header.checksum);
  put16(out, 0);
  return std::move(out) + header.options + payload;
}

Bytes udp(const Udp& header, const Bytes& payload) {
  Bytes out;
  put16(out, header.sport);
  put16(out, header.dport);
  put16(out, length_or(header.length, 8 + payload.size()));
  put16(out, header.checksum);
  return std::move(out) + payload;
}

Bytes icmp(std::uint8_t type, const Bytes& payload) {
  Bytes out{type, 0, 0xbe, 0xef, 0x12, 0x34, 0, 1};
  return std::move(out) + payload;
}

Bytes sctp(std::uint16_t sport, std::uint16_t dport, const Bytes& payload) {
  Bytes out;
  put16(out, sport);
  put16(out, dport);
  put32(out, 0x01020304);
  put32(out, 0xfeedbeef);
  return std::move(out) + payload;
}

Bytes esp(std::uint32_t spi, const Bytes& payload) {
  Bytes out;
  put32(out, spi);
  put32(out, 17);
  return std::move(out) + payload;
}

Bytes ipv4(const Ipv4& header, const Bytes& body) {
  Bytes out;
  out.push_back(static_cast<std::uint8_t>(0x40 | (5 + header.options.size() / 4)));
  out.push_back(header.tos);
  put16(out, length_or(header.length, 20 + header.options.size() + body.size()));
  put16(out, header.id);
  put16(out, header.fragment);
  out.push_back(header.ttl);
  out.push_back(header.protocol);
  put16(out, header.checksum);
  append(out, ByteView(Address::parse(header.src)->bytes).last(4));
  append(out, ByteView(Address::parse(header.dst)->bytes).last(4));
  return std::move(out) + header.options + body;
}

Bytes ipv6(const Ipv6& header, const Bytes& body) {
  Bytes out;
  put32(out, 6u << 28 | static_cast<std::uint32_t>(header.traffic_class) << 20 | header.flow_label);
  put16(out, length_or(header.length, body.size()));
  out.push_back(header.next);
  out.push_back(header.hops);
  append(out, Address::parse(header.src)->bytes);
  append(out, Address::parse(header.dst)->bytes);
  return std::move(out) + body;
}

Bytes extension(std::uint8_t next, std::uint8_t units) {
  Bytes out(8 + 8u * units, 0);
  out[0] = next;
  out[1] = units;
  return out;
}

Bytes authentication(std::uint8_t next, std::uint8_t words) {
  Bytes out(4u * (words + 2), 0);
  out[0] = next;
  out[1] = words;
  return out;
}

Bytes fragment(std::uint8_t next, std::uint16_t offset_and_flags, std::uint32_t id) {
  Bytes out{next, 0};
  put16(out, offset_and_flags);
  put32(out, id);
  return out;
}

Bytes jumbo(std::uint8_t next, std::uint32_t length) {
  Bytes out{next, 0, 0xc2, 4};
  put32(out, length);
  return out;
}

Bytes ethernet(std::uint16_t type, const Bytes& body) {
  Bytes out{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
  put16(out, type);
  return std::move(out) + body;
}

Bytes tagged(std::uint16_t type, const Bytes& body, std::uint16_t id) {
  Bytes out;
  put16(out, id);
  put16(out, type);
  return std::move(out) + body;
}

Bytes labelled(std::uint32_t label, bool bottom, const Bytes& body) {
  Bytes out;
  put32(out, label << 12 | (bottom ? 0x100 : 0) | 64);
  return std::move(out) + body;
}

Bytes vxlan(const Bytes& frame, std::uint8_t flags) {
  return Bytes{flags, 0, 0, 0, 0, 0, 7, 0} + frame;
}

Bytes geneve(std::uint16_t type, const Bytes& body, std::uint8_t option_words,
             std::uint8_t version) {
  Bytes out{static_cast<std::uint8_t>(version << 6 | option_words), 0};
  put16(out, type);
  put32(out, 7 << 8);
  out.insert(out.end(), 4u * option_words, 0x5a);
  return std::move(out) + body;
}

Bytes gre(std::uint16_t type, const Bytes& body, std::uint16_t flags) {
  Bytes out;
  put16(out, flags);
  put16(out, type);
  for (const unsigned flag : {0x8000u, 0x2000u, 0x1000u}) {
    if (flags & flag) put32(out, flag);
  }
  return std::move(out) + body;
}

Bytes erspan2(const Bytes& frame) {
  Bytes out;
  put32(out, 1u << 28 | 5u << 16 | 1);
  put32(out, 3);
  return std::move(out) + frame;
}

Bytes erspan3(const Bytes& frame, bool more) {
  Bytes out;
  put32(out, 2u << 28 | 5u << 16 | 1);
  put32(out, 0x11223344);
  put32(out, more ? 1 : 0);
  if (more) out.insert(out.end(), 8, 0);
  return std::move(out) + frame;
}

}  // namespace fieldline::packets
