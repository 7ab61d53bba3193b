// SPDX-License-Identifier: Apache-2.0
// What happened before the first vantage point, from the holes that TCP's sequence numbers have
// there.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analysis/matcher.h"
#include "analysis/track.h"

namespace fieldline::analysis {

// What one end of the path can be told from inside it.
struct EndEvidence {
  std::optional<std::uint64_t> lost;  // no value: the traffic has no such evidence
  std::uint64_t reordered = 0, undecided = 0;
  std::vector<LostPacket> packets;  // at most kListedMax of them; `lost` counts all
  std::string note;
};

constexpr std::size_t kListedMax = 65'536;
// A larger step in a flow's sequence numbers is not a loss but another connection or damage.
constexpr std::uint64_t kJumpMax = 1 << 26;

void add_note(std::string& note, const std::string& more);

// The first protocol-independent answer: what of this direction's traffic carries evidence at all.
struct Carried {
  bool tcp_data = false, tcp_bare = false, other = false;
};
Carried what_is_carried(const Track& track, const FlowTable& flows);

// acks: the opposite direction at the same sensor, nullptr if it was not seen there.
EndEvidence before_first(const Track& first, const Track* acks, const FlowTable& flows,
                         bool reverse, const Watch& watch);

}  // namespace fieldline::analysis
