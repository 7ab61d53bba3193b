// SPDX-License-Identifier: Apache-2.0
// Which data of TCP flows was sent again, from what the first vantage point of a direction saw of
// them and of their acknowledgements.
#pragma once

#include <optional>
#include <vector>

#include "analysis/announce.h"
#include "analysis/path.h"
#include "analysis/ranges.h"
#include "analysis/section.h"

namespace fieldline::analysis {

// What a packet is to its sender's data, by what was seen before it.
struct Sending {
  enum class Kind {
    none,   // takes nothing of the sequence space
    fresh,  // goes beyond all that was sent
    late,   // does not, yet was not seen before: overtaken, or sent again when its first was lost
    again,  // some of it was sent before
    copy,   // the network made it
    probe   // asks whether the peer is there, or its window open; the stream needs it not
  };
  Kind kind = Kind::none;
  std::uint32_t repeated = 0;  // payload bytes of it that the sender had sent before
};

// What an acknowledgement said of the data.
struct Acknowledged {
  bool advances = false;
  // Of the segment that it ends with, if that was sent once (Karn) and nothing in front of it was
  // sent after it: as tcptrace takes its samples.
  std::optional<std::uint64_t> rtt_ns;
};

// Fed in order of time; holds what is not acknowledged. Where that is more than kHeldMax segments,
// the first ones of the flow that goes on are forgotten: sent again, they are late.
class Retransmissions {
 public:
  Retransmissions(const FlowTable& flows, bool reverse) : flows_(&flows), reverse_(reverse) {}

  // A packet of this flow comes soon.
  void announce(std::uint32_t flow) const { analysis::announce(senders_, flow); }
  Sending see(const Observation& seen);
  Acknowledged see_ack(const Sighting& ack);
  std::vector<Again> finish() { return std::move(again_); }  // the last of its life

 private:
  static constexpr std::size_t kHeldMax = std::size_t{1} << 20;
  struct Sent {
    Observation packet;
    bool ambiguous = false;  // what its acknowledgement is of: sent again, or in parts
  };
  using Flight = Ranges<Sent>;
  struct Sender {
    bool started = false, acknowledged = false;
    std::uint64_t high = 0;    // behind the highest byte sent
    std::uint64_t acked = 0;   // cumulative; 0: no acknowledgement was seen
    std::uint64_t newest = 0;  // when the latest of what is acknowledged was sent
    bool closed = false;       // the peer's window
    std::uint64_t sacked = 0;  // behind the highest byte that a SACK has named
    std::uint32_t syn = 0;
    bool has_syn = false;
    bool options_cut = false;      // of acknowledgements
    std::uint32_t duplicates = 0;  // acknowledgements of no progress in a row
    Flight flight;                 // the last sending of each
  };

  Sender& sender_of(std::uint32_t flow);
  static bool is_probe(const Sender& sender, const Observation& seen);
  Sending take(Sender& sender, const Observation& seen);
  Sending send(Sender& sender, const Observation& seen, std::uint64_t begin, std::uint64_t end);
  Acknowledged take_ack(Sender& sender, const Sighting& ack);
  void note(const Sender& sender, const Observation& seen, const Sent* before, std::uint64_t end);

  const FlowTable* flows_;
  bool reverse_;
  std::vector<Sender> senders_;  // by flow
  std::size_t held_ = 0;         // in all flights
  std::vector<Again> again_;
};

}  // namespace fieldline::analysis
