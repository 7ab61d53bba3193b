// SPDX-License-Identifier: Apache-2.0
#include "analysis/sighting.h"

#include <algorithm>

namespace fieldline::analysis {
namespace {

constexpr std::uint8_t kTcpFlags = kFin | kSyn | kRst | kAck;

}  // namespace

Sighting sighting_of(const PacketInfo& packet, std::uint32_t flow, std::uint64_t digest,
                     std::uint64_t time) {
  Sighting sighting;
  Observation& seen = sighting.seen;
  seen.digest = digest;
  seen.time = time;
  seen.flow = flow;
  seen.ttl = packet.ttl;
  seen.ip_id = packet.ip_id;
  seen.payload = static_cast<std::uint16_t>(std::min<std::uint32_t>(packet.payload, UINT16_MAX));
  if (!packet.transport || packet.protocol != kTcp) return sighting;
  seen.sequence = packet.tcp.sequence;
  seen.ack = packet.tcp.ack;
  seen.window = packet.tcp.window;
  sighting.window_scale = packet.tcp.window_scale;
  seen.flags = packet.tcp.flags & kTcpFlags;
  if (packet.problem) seen.flags |= kOptionsCut;
  if (packet.payload > 0) seen.flags |= kCarriesTcp;
  if (packet.tcp.has_timestamp) {
    seen.flags |= kHasTimestamp;
    seen.tsval = packet.tcp.tsval;
    sighting.tsecr = packet.tcp.tsecr;
  }
  if (packet.tcp.sacks > 0) {
    auto* list = new SackList;
    sighting.sacks = list;
    list->count = packet.tcp.sacks;
    list->blocks = packet.tcp.sack;
  }
  return sighting;
}

}  // namespace fieldline::analysis
