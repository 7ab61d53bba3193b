// SPDX-License-Identifier: Apache-2.0
#include "capture/host_record.h"

#include <netinet/in.h>

#include <cstddef>
#include <cstring>

namespace fieldline::capture {

namespace {

unsigned layer(const magnet_record_ext& record) {
  return record.head.event >> 8;
}

}  // namespace

bool is_packet(const magnet_record_ext& record) {
  return layer(record) >= MAGNET_LAYER_UDP && layer(record) <= MAGNET_LAYER_DEV;
}

bool tells_peer(const magnet_record_ext& record) {
  const std::uint32_t event = record.head.event;
  return event == MAGNET_SOCK_SEND || event == MAGNET_SOCK_RECV ||
         layer(record) == MAGNET_LAYER_TCP;
}

std::uint64_t take_tag(magnet_record_ext& record) {
  constexpr std::size_t kAt = 32;
  std::uint64_t tag = 0;
  static_assert(kAt + sizeof tag == sizeof record.ext.packet);
  static_assert(kAt >= offsetof(magnet_ext_packet, reserved));
  if (!is_packet(record)) return 0;
  std::memcpy(&tag, record.ext.bytes + kAt, sizeof tag);
  std::memset(record.ext.bytes + kAt, 0, sizeof tag);
  return tag;
}

std::optional<Ports> ports_of(const magnet_record_ext& record) {
  const magnet_ext& ext = record.ext;
  switch (layer(record)) {
    case MAGNET_LAYER_SOCK:
      return Ports{ext.sock.protocol, ext.sock.local_port, ext.sock.peer_port};
    case MAGNET_LAYER_TCP:
      return Ports{std::uint8_t{IPPROTO_TCP}, ext.tcp.local_port, ext.tcp.peer_port};
    case MAGNET_LAYER_UDP:
    case MAGNET_LAYER_IP:
    case MAGNET_LAYER_DEV:
      return Ports{ext.packet.protocol, ext.packet.local_port, ext.packet.peer_port};
    default:
      return {};
  }
}

std::optional<std::uint32_t> own_sequence(const magnet_record_ext& record) {
  const auto ports = ports_of(record);
  if (!ports || std::get<0>(*ports) != IPPROTO_TCP) return {};
  switch (record.head.event) {
    case MAGNET_SOCK_SEND:
      return record.ext.sock.seq;
    case MAGNET_TCP_SEND:
    case MAGNET_TCP_RETRANS:
      return record.ext.tcp.seq;
    case MAGNET_TCP_RECV:
      return record.ext.tcp.ack;
    case MAGNET_IP_SEND:
    case MAGNET_IP6_SEND:
    case MAGNET_DEV_SEND:
      return record.ext.packet.seq;
    case MAGNET_IP_RECV:
    case MAGNET_IP6_RECV:
    case MAGNET_DEV_RECV:
      return record.ext.packet.ack;
    default:
      return {};
  }
}

}  // namespace fieldline::capture
