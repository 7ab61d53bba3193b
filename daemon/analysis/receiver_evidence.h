// SPDX-License-Identifier: Apache-2.0
// What happened behind the last vantage point, from what the receiver acknowledged there.
#pragma once

#include <map>
#include <vector>

#include "analysis/announce.h"
#include "analysis/ranges.h"
#include "analysis/sender_holes.h"

namespace fieldline::analysis {

// Whether the network made the second of two packets that fill one range, or the sender did.
bool is_network_copy(const Observation& first, const Observation& second);

// A data packet seen here is lost behind here if its range was sent again before an acknowledgement
// or SACK of it had come by, and no DSACK says later that both arrived. Fed with both directions of
// one sensor in order of time; holds what is not acknowledged. Where that is more than kHeldMax
// segments, the first ones of the flow that goes on are forgotten, and undecided.
class ReceiverEvidence {
 public:
  ReceiverEvidence(const FlowTable& flows, bool reverse) : flows_(&flows), reverse_(reverse) {}

  // A packet of this flow comes soon.
  void announce(std::uint32_t flow) const { analysis::announce(receivers_, flow); }
  void see(const Observation& seen);
  void see_ack(const Sighting& ack);
  EndEvidence finish(const Side& side);  // the last of its life

 private:
  static constexpr std::size_t kHeldMax = std::size_t{1} << 20;
  struct Segment {
    Observation packet;
    bool judged = false;  // a part of it was sent again already
    bool again = false;   // it repeats something itself
  };
  using Outstanding = Ranges<Segment>;
  struct Candidate {
    std::uint64_t end = 0;
    Observation packet;
    std::uint64_t again_ns = 0;  // when its range was sent again
    bool missed = false;         // the receiver said that it lacks it
    bool redundant = false;      // it came when its range was acknowledged here: not lost
  };
  struct Receiver {
    bool started = false;
    std::uint64_t high = 0;   // behind the highest byte seen or acknowledged
    std::uint64_t acked = 0;  // cumulative
    // When the youngest of what was acknowledged passed, of what passed once (RFC 8985): what
    // passed before it and is not acknowledged did not arrive.
    std::uint64_t delivered_ns = 0;
    std::uint32_t syn = 0;
    bool has_syn = false;
    Outstanding outstanding;                             // not acknowledged
    std::multimap<std::uint64_t, Candidate> candidates;  // by first byte, in order of time
  };

  static bool is_copy(const Receiver& receiver, std::uint64_t begin, const Observation& seen);
  static void see_sack(Receiver& receiver, std::uint64_t ack, const SackList& list);
  static void excuse(Receiver& receiver, std::uint64_t left, std::uint64_t right);
  Receiver& receiver_of(std::uint32_t flow);
  void take_ack(Receiver& receiver, const Sighting& ack);
  static void arrive(Receiver& receiver, std::uint64_t begin, std::uint64_t end);
  void see_data(Receiver& receiver, const Observation& seen);
  void restart(Receiver& receiver);
  void lose(const Candidate& candidate);
  void doubt(const Observation& packet);
  void judge(const Side& side);

  const FlowTable* flows_;
  bool reverse_;
  Carried carried_;
  bool acknowledged_ = false;        // the opposite direction passes here
  std::vector<Receiver> receivers_;  // by flow
  EndEvidence evidence_;
  std::size_t held_ = 0;  // in all that is outstanding
  std::uint64_t lost_ = 0, last_ns_ = 0, forgotten_ = 0;
};

}  // namespace fieldline::analysis
