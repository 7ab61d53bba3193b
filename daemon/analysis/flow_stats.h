// SPDX-License-Identifier: Apache-2.0
// Counts per flow of one direction, as its first vantage point saw it. What was sent again, and
// how long an acknowledgement took, is told by Retransmissions.
#pragma once

#include <vector>

#include "analysis/announce.h"
#include "analysis/flow_counts.h"
#include "analysis/retransmissions.h"

namespace fieldline::analysis {

// Fed in order of time.
class FlowStats {
 public:
  // Flows that come later are counted together.
  static constexpr std::size_t kFlowsMax = 65'536;

  explicit FlowStats(const FlowTable& flows) : flows_(&flows) {}

  // A packet of this flow comes soon.
  void announce(std::uint32_t flow) const { analysis::announce(known_, flow); }
  void see(const Sighting& packet, const Sending& sending);
  // A packet of the opposite direction at the same place.
  void see_opposite(const Sighting& packet, const Acknowledged& acknowledged);

  // By the flow's number; those of the opposite direction alone have no packets.
  std::vector<FlowCounts> counts() const;
  const OtherCounts& others() const { return others_; }

 private:
  // Timestamps under way of one flow; more are not sampled.
  static constexpr std::size_t kEchoesMax = 64;
  struct Stamp {
    std::uint32_t tsval = 0;
    std::uint64_t sent_ns = 0;  // 0: first carried by what is not acknowledged
  };
  struct Flow {
    FlowCounts counts;
    bool acknowledges = false, opposite_sends = false;
    std::uint32_t ack = 0;     // the highest that was sent
    std::uint16_t window = 0;  // as last sent
    std::uint16_t opposite_window = 1;
    std::uint32_t opposite_high = 0;  // behind what the opposite direction sent
    bool stamped = false;
    std::uint32_t last_tsval = 0;
    std::vector<Stamp> stamps;  // in order of time, not echoed yet
  };

  Flow* flow_of(std::uint32_t number);
  static void see_tcp(Flow& flow, const Sighting& packet, const Sending& sending);
  static void see_ack(Flow& flow, const Sighting& packet);
  static void stamp(Flow& flow, const Observation& seen);
  static void echo(Flow& flow, const Sighting& packet);

  const FlowTable* flows_;
  std::vector<Flow> known_;  // by flow
  OtherCounts others_;
};

}  // namespace fieldline::analysis
