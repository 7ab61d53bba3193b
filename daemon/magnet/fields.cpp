// SPDX-License-Identifier: Apache-2.0
#include "magnet/fields.h"

#include <cstddef>
#include <cstring>

#include "base/address.h"
#include "base/bytes.h"

namespace fieldline::magnet {

namespace {

using Kind = Field::Kind;

// offsetof and sizeof of a member, as a Field.
#define FIELD(layout, member) \
  { #member, offsetof(layout, member), sizeof(layout::member), Field::Kind::number }
#define ADDRESS(layout, member) \
  { #member, offsetof(layout, member), sizeof(layout::member), Field::Kind::address }

constexpr Field kSysinfo[] = {
    FIELD(magnet_ext_sysinfo, cycles),      FIELD(magnet_ext_sysinfo, tai_ns),
    FIELD(magnet_ext_sysinfo, realtime_ns), FIELD(magnet_ext_sysinfo, error_ns),
    FIELD(magnet_ext_sysinfo, abi),         FIELD(magnet_ext_sysinfo, slots),
    FIELD(magnet_ext_sysinfo, record_size), FIELD(magnet_ext_sysinfo, layers),
};
constexpr Field kLost[] = {FIELD(magnet_ext_lost, first)};
constexpr Field kOpen[] = {
    ADDRESS(magnet_ext_open, local), FIELD(magnet_ext_open, local_port),
    ADDRESS(magnet_ext_open, peer),  FIELD(magnet_ext_open, peer_port),
    FIELD(magnet_ext_open, family),  FIELD(magnet_ext_open, protocol),
    FIELD(magnet_ext_open, passive),
};
constexpr Field kSock[] = {
    FIELD(magnet_ext_sock, local_port), FIELD(magnet_ext_sock, peer_port),
    FIELD(magnet_ext_sock, family),     FIELD(magnet_ext_sock, protocol),
    FIELD(magnet_ext_sock, pid),        FIELD(magnet_ext_sock, uid),
    FIELD(magnet_ext_sock, seq),        FIELD(magnet_ext_sock, wqueue),
    FIELD(magnet_ext_sock, rqueue),     FIELD(magnet_ext_sock, sndbuf),
    FIELD(magnet_ext_sock, rcvbuf),
};
constexpr Field kTcp[] = {
    FIELD(magnet_ext_tcp, local_port), FIELD(magnet_ext_tcp, peer_port),
    FIELD(magnet_ext_tcp, seq),        FIELD(magnet_ext_tcp, ack),
    FIELD(magnet_ext_tcp, flags),      FIELD(magnet_ext_tcp, cwnd),
    FIELD(magnet_ext_tcp, ssthresh),   FIELD(magnet_ext_tcp, srtt_us),
    FIELD(magnet_ext_tcp, snd_wnd),    FIELD(magnet_ext_tcp, in_flight),
    FIELD(magnet_ext_tcp, wqueue),     FIELD(magnet_ext_tcp, ca_state),
    FIELD(magnet_ext_tcp, gso_segs),
};
constexpr Field kPacket[] = {
    FIELD(magnet_ext_packet, local_port), FIELD(magnet_ext_packet, peer_port),
    FIELD(magnet_ext_packet, family),     FIELD(magnet_ext_packet, protocol),
    FIELD(magnet_ext_packet, seq),        FIELD(magnet_ext_packet, ack),
    FIELD(magnet_ext_packet, flags),      FIELD(magnet_ext_packet, payload),
    FIELD(magnet_ext_packet, ifindex),    FIELD(magnet_ext_packet, ip_id),
    FIELD(magnet_ext_packet, fragment),   FIELD(magnet_ext_packet, gso_size),
    FIELD(magnet_ext_packet, gso_segs),
};
constexpr Field kOthers[] = {{"bytes", 0, sizeof(magnet_ext), Kind::bytes}};

#undef FIELD
#undef ADDRESS

const std::uint8_t* bytes_at(const magnet_ext& ext, const Field& field) {
  return reinterpret_cast<const std::uint8_t*>(&ext) + field.offset;
}

}  // namespace

Layout layout_of(std::uint32_t event) {
  if (event == MAGNET_SYSINFO) return Layout::sysinfo;
  if (event == MAGNET_LOST) return Layout::lost;
  if (event == MAGNET_SOCK_OPEN) return Layout::open;
  switch (event >> 8) {
    case MAGNET_LAYER_SOCK:
      return Layout::sock;
    case MAGNET_LAYER_TCP:
      return Layout::tcp;
    case MAGNET_LAYER_UDP:
    case MAGNET_LAYER_IP:
    case MAGNET_LAYER_DEV:
      return Layout::packet;
    default:
      return Layout::others;
  }
}

const char* layout_name(Layout layout) {
  constexpr const char* kNames[kLayouts] = {"sysinfo", "lost",   "open",  "sock",
                                            "tcp",     "packet", "others"};
  return kNames[static_cast<std::size_t>(layout)];
}

std::span<const Field> fields_of(Layout layout) {
  switch (layout) {
    case Layout::sysinfo:
      return kSysinfo;
    case Layout::lost:
      return kLost;
    case Layout::open:
      return kOpen;
    case Layout::sock:
      return kSock;
    case Layout::tcp:
      return kTcp;
    case Layout::packet:
      return kPacket;
    case Layout::others:
      break;
  }
  return kOthers;
}

std::uint64_t number_at(const magnet_ext& ext, const Field& field) {
  std::uint64_t value = 0;
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
  std::memcpy(&value, bytes_at(ext, field), field.size <= sizeof value ? field.size : 0);
  return value;
}

std::string text_at(const magnet_ext& ext, const Field& field) {
  const std::uint8_t* at = bytes_at(ext, field);
  if (field.kind == Kind::number) return std::to_string(number_at(ext, field));
  if (field.kind == Kind::address) {
    Address address;
    std::memcpy(address.bytes.data(), at, sizeof address.bytes);
    return address.to_string();
  }
  std::size_t used = field.size;
  while (used > 0 && at[used - 1] == 0) --used;
  return to_hex({at, used});
}

}  // namespace fieldline::magnet
