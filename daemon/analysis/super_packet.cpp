// SPDX-License-Identifier: Apache-2.0
#include "analysis/super_packet.h"

#include <algorithm>

namespace fieldline::analysis {
namespace {

constexpr std::uint8_t kPush = 8;
// Linux makes no longer one (GSO_MAX_SIZE), cuts TCP into no smaller ones (TCP_MIN_GSO_SIZE), and
// datagrams into no more (UDP_MAX_SEGMENTS).
constexpr std::uint32_t kPayloadMax = 8 * 65'535;
constexpr std::uint32_t kSegmentMin = 8;
constexpr std::uint32_t kDatagramsMax = 128;

}  // namespace

bool is_whole(const PacketInfo& packet, std::uint32_t segment_size, std::uint32_t segments) {
  if (!packet.transport || packet.payload > kPayloadMax || segment_size == 0) return false;
  if (packet.protocol == kTcp ? segment_size < kSegmentMin : segments > kDatagramsMax) return false;
  return (packet.payload + segment_size - 1) / segment_size == segments;
}

// An IP id of 0 is none, and is not counted up (SKB_GSO_TCP_FIXEDID).
std::vector<WireSegment> split(const PacketInfo& packet, std::uint32_t segment_size) {
  std::vector<WireSegment> segments;
  for (std::uint32_t at = 0; at < packet.payload; at += segment_size) {
    WireSegment segment;
    segment.sequence = packet.tcp.sequence + at;
    segment.payload = std::min(segment_size, packet.payload - at);
    const bool last = at + segment.payload == packet.payload;
    segment.flags =
        last ? packet.tcp.flags : static_cast<std::uint8_t>(packet.tcp.flags & ~(kFin | kPush));
    if (packet.ip_id != 0)
      segment.ip_id = static_cast<std::uint16_t>(packet.ip_id + segments.size());
    segments.push_back(segment);
  }
  return segments;
}

PacketInfo part_of(const PacketInfo& whole, const WireSegment& segment) {
  PacketInfo part = whole;
  part.tcp.sequence = segment.sequence;
  part.tcp.flags = segment.flags;
  part.payload = segment.payload;
  part.ip_id = segment.ip_id;
  return part;
}

}  // namespace fieldline::analysis
