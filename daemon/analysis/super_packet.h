// SPDX-License-Identifier: Apache-2.0
// A packet that stands for several of the wire (GSO, GRO), cut into those.
#pragma once

#include <cstdint>
#include <vector>

#include "analysis/packet.h"

namespace fieldline::analysis {

struct WireSegment {
  std::uint32_t sequence = 0, payload = 0;
  std::uint8_t flags = 0;
  std::uint16_t ip_id = 0;
};

// What its sensor says of it is what its headers say. A claim that is not costs nothing.
bool is_whole(const PacketInfo& packet, std::uint32_t segment_size, std::uint32_t segments);
// segment_size: of each but the last, which may be shorter.
std::vector<WireSegment> split(const PacketInfo& packet, std::uint32_t segment_size);
PacketInfo part_of(const PacketInfo& whole, const WireSegment& segment);

// Why a super-packet's segments join with nothing.
enum class Unjoined : std::uint8_t {
  no_tcp,   // datagrams have no sequence numbers by which they could be told apart
  sampled,  // which of a sample it is was told by its own digest, not by those of its segments
  unclear,  // its length, its size and its number of segments contradict one another
  cut,      // its headers, or those of another packet of its flow, end inside the options
};
constexpr std::size_t kUnjoinedReasons = 4;

}  // namespace fieldline::analysis
