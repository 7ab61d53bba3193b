// SPDX-License-Identifier: Apache-2.0
// What each TCP sender of one direction waited for, as far as headers at its first vantage point
// tell. They show what is under way and the receiver's window, and neither what the application has
// written nor the congestion window.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "analysis/retransmissions.h"
#include "analysis/wire_waiting.h"

namespace fieldline::analysis {

// Fed in order of time.
class WireSenders {
 public:
  // Flows that come later are not judged; they are counted.
  static constexpr std::size_t kFlowsMost = 4096;

  WireSenders(const FlowTable& flows, bool reverse, std::uint64_t interval_ns)
      : table_(&flows), reverse_(reverse), interval_ns_(interval_ns) {}

  void see(const Sighting& packet, const Sending& sending);
  // A packet of the opposite direction at the same place.
  void see_ack(const Sighting& packet, const Acknowledged& acknowledged);

  std::vector<WireWaiting> finish() const;  // of flows with data
  std::uint64_t left_out() const { return left_out_; }

 private:
  static constexpr std::uint8_t kUnknownScale = 255;
  struct Flow {
    WireWaiting waiting;
    std::uint64_t since_ns = 0, acked_ns = 0, srtt_ns = 0, ack_gap_ns = 0;
    std::uint32_t high = 0, una = 0, window = 0;
    std::uint32_t recover = 0;  // behind what was sent when a loss was seen
    std::uint8_t own_scale = kUnknownScale, peer_scale = kUnknownScale;
    bool sending = false, acknowledged = false, recovering = false;
    bool probed = false;  // it asked whether the window is open

    explicit Flow(std::uint64_t interval_ns) : waiting{0, 0, LimitSeries(interval_ns), {}} {}
    std::uint32_t under_way() const { return high - una; }
  };

  Flow* flow_of(std::uint32_t number);
  static std::uint64_t at_once(const Flow& flow);
  static void begin(Flow& flow, const Observation& seen);
  static void elapse(Flow& flow, std::uint64_t until_ns, std::optional<Limit> known = {});
  static Limit limit_of(const Flow& flow, std::uint64_t waited_ns);
  static void take_window(Flow& flow, const Observation& seen);
  static void note_rtt(Flow& flow, std::uint64_t time_ns, std::uint64_t rtt_ns);

  const FlowTable* table_;
  bool reverse_;
  std::uint64_t interval_ns_;
  std::vector<std::optional<Flow>> flows_;  // by number
  std::size_t known_ = 0;
  std::uint64_t left_out_ = 0;
};

}  // namespace fieldline::analysis
