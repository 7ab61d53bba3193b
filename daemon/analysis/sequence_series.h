// SPDX-License-Identifier: Apache-2.0
// Sequence numbers by time, of data and of what is acknowledged: the lines of a time-sequence plot,
// as the first vantage point of a direction saw them. What was sent again is not in it; it is
// listed by Retransmissions, packet by packet.
#pragma once

#include <cstdint>
#include <vector>

#include "analysis/flows.h"
#include "analysis/time_bins.h"

namespace fieldline::analysis {

struct Observation;
struct Sending;

// Bytes are counted from the first that was seen of the flow.
struct SequenceBin {
  std::uint64_t from_ns = 0;
  bool sent = false, acknowledged = false;
  std::int64_t low = 0, high = 0;   // sent: first byte, behind the last
  std::int64_t ack = 0;             // the highest
  std::uint32_t high_sequence = 0;  // on the wire, of `high`

  void merge(const SequenceBin& other);
};

struct SequenceLine {
  std::uint32_t flow = 0;
  std::uint64_t width_ns = 0;
  std::vector<SequenceBin> bins;

  // Of a sequence number that was sent about then.
  std::int64_t byte_at(std::uint64_t time_ns, std::uint32_t sequence) const;
};

// Fed in order of time.
class SequenceSeries {
 public:
  static constexpr std::size_t kFlowsMax = 256;  // the first ones; of others there is no line
  static constexpr std::size_t kBinsMax = 1024;  // of a flow
  static constexpr std::uint64_t kWidthNs = 1'000'000;  // at first

  explicit SequenceSeries(const FlowTable& flows) : flows_(&flows) {}

  void see(const Observation& packet, const Sending& sending);
  void see_ack(const Observation& ack);
  std::vector<SequenceLine> lines() const;

 private:
  struct Line {
    bool started = false;
    std::int64_t high = 0;
    std::uint32_t high_sequence = 0;
    TimeBins<SequenceBin> bins{kWidthNs, kBinsMax};
  };

  Line* line_of(std::uint32_t flow);

  const FlowTable* flows_;
  std::vector<Line> lines_;  // by flow
};

}  // namespace fieldline::analysis
