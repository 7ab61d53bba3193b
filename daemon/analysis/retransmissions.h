// SPDX-License-Identifier: Apache-2.0
// Which data of TCP flows was sent again, from what the first vantage point of a direction saw of
// them and of their acknowledgements.
#pragma once

#include <map>
#include <vector>

#include "analysis/path.h"
#include "analysis/section.h"

namespace fieldline::analysis {

// Fed in order of time; holds what is not acknowledged.
class Retransmissions {
 public:
  Retransmissions(const FlowTable& flows, bool reverse) : flows_(&flows), reverse_(reverse) {}

  void see(const Observation& seen);
  void see_ack(const Sighting& ack);
  std::vector<Again> finish() { return std::move(again_); }  // the last of its life

 private:
  struct Sent {
    std::uint64_t end = 0;
    Observation packet;
  };
  struct Sender {
    bool started = false, acknowledged = false;
    std::uint64_t high = 0;    // behind the highest byte sent
    std::uint64_t acked = 0;   // cumulative
    std::uint64_t sacked = 0;  // behind the highest byte that a SACK has named
    std::uint32_t syn = 0;
    bool has_syn = false;
    bool options_cut = false;              // of acknowledgements
    std::uint32_t duplicates = 0;          // acknowledgements of no progress in a row
    std::map<std::uint64_t, Sent> flight;  // by first byte, disjoint: the last sending of each
  };

  Sender& sender_of(std::uint32_t flow);
  void send(Sender& sender, const Observation& seen, std::uint64_t begin, std::uint64_t end);
  void note(const Sender& sender, const Observation& seen, const Sent* before, std::uint64_t end);

  const FlowTable* flows_;
  bool reverse_;
  std::vector<Sender> senders_;  // by flow
  std::vector<Again> again_;
};

}  // namespace fieldline::analysis
