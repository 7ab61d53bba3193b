// SPDX-License-Identifier: Apache-2.0
// One section between two vantage points: joins their records by digest, and says what is left
// over.
#pragma once

#include <optional>
#include <span>

#include "analysis/path.h"
#include "analysis/track.h"

namespace fieldline::analysis {

// A packet may be called lost only when the other side has shown a packet of more than this later.
constexpr std::uint64_t kGraceNs = 1'000'000'000;
// How exactly a report's time tells when the classifier began or ceased to look.
constexpr std::uint64_t kEdgeNs = 100'000'000;

// When a vantage point was looking, by its own clock; without `started` or `ended`: as long as it
// is asked about.
struct Watch {
  std::optional<std::uint64_t> started_ns, ended_ns;
  bool final = false;  // nothing more will come from there

  // Whether what would still have followed an event of this time has been seen; newest: its last
  // record.
  bool settled(std::uint64_t time_ns, std::uint64_t newest_ns) const;
};

struct Matchable {
  const Track* track = nullptr;
  Watch watch;
};

// Delays of a section from which the percentiles are taken; beyond it a uniform sample (reservoir)
// of that size.
constexpr std::size_t kDelaySamples = 1'000'000;

LostPacket lost_packet(const Observation& seen, const FlowTable& flows, bool reverse);

// Fills everything of `section` but its place. `beyond`: the points further down the path; what
// they saw was not lost, whatever the downstream point missed.
void match_section(const Matchable& up, const Matchable& down, std::span<const Track* const> beyond,
                   const FlowTable& flows, bool reverse, Section& section);

}  // namespace fieldline::analysis
