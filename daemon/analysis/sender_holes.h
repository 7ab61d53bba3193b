// SPDX-License-Identifier: Apache-2.0
// What happened before the first vantage point, from the holes that TCP's sequence numbers have
// there.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "analysis/announce.h"
#include "analysis/retransmissions.h"
#include "analysis/section.h"

namespace fieldline::analysis {

// What one end of the path can be told from inside it.
struct EndEvidence {
  std::optional<std::uint64_t> lost;  // no value: the traffic has no such evidence
  std::uint64_t reordered = 0, undecided = 0;
  std::vector<PacketName> undecided_packets;
  std::vector<LostPacket> packets;  // at most kListedMax of them; `lost` counts all
  std::vector<LostPacket> doubted;  // as lost, had the point not been off then
  std::string note;
};

// A larger step in a flow's sequence numbers is not a loss but another connection or damage.
constexpr std::uint64_t kJumpMax = 1 << 26;

void add_note(std::string& note, const std::string& more);

// What of a direction's traffic carries evidence at all.
struct Carried {
  bool tcp_data = false, tcp_bare = false, other = false;

  void note(const Observation& seen, const FlowTable& flows);
};

// Whether a host numbers a flow's packets one by one in the IP id (Linux does, per socket), and
// with which.
class IdTrail {
 public:
  void note(const Observation& seen);
  bool usable() const { return wild_ == 0 && rising_ > 0; }
  std::uint64_t missing() const;

 private:
  std::uint64_t first_ = 0, newest_ = 0, seen_ = 0, rising_ = 0, wild_ = 0;
};

// Fed with the direction's packets in order of time, and with the opposite direction's at the same
// sensor; holds the holes that are open.
class SenderHoles {
 public:
  SenderHoles(const FlowTable& flows, bool reverse) : flows_(&flows), reverse_(reverse) {}

  // A packet of this flow comes soon.
  void announce(std::uint32_t flow) const { analysis::announce(senders_, flow); }
  void see(const Observation& seen);
  void see_ack(const Observation& seen, const Acknowledged& acknowledged);
  EndEvidence finish(const Side& side);  // the last of its life

 private:
  struct Hole {
    std::uint64_t end = 0;
    std::uint64_t before_ns = 0, opened_ns = 0;  // of the packets on both sides of it
    std::uint64_t opened_count = 0;  // segments of the flow before the one that opened it
    std::uint16_t opener_id = 0;
    std::optional<std::uint32_t> opener_timestamp;
  };
  struct Sender {
    bool started = false;
    std::uint64_t next = 0;       // behind the highest byte seen
    std::uint64_t newest_ns = 0;  // when that was seen
    std::uint64_t segments = 0;
    std::optional<std::uint64_t> rtt_ns;  // the least that was seen here
    std::uint32_t largest = 0;            // payload
    std::uint32_t syn = 0;
    bool has_syn = false;
    std::optional<std::uint32_t> acked;
    std::map<std::uint64_t, Hole> holes;  // by first byte
    IdTrail ids;
  };

  static std::uint64_t pieces(const Sender& sender, std::uint64_t bytes);
  static bool late_original(const Sender& sender, const Hole& hole, const Observation& filler);
  Sender& sender_of(std::uint32_t flow);
  void see_data(Sender& sender, const Observation& seen);
  void restart(std::uint32_t flow);
  void fill(std::uint32_t flow, std::uint64_t begin, std::uint64_t end, const Observation& filler);
  void lose(std::uint32_t flow, std::uint64_t begin, std::uint64_t end, const Hole& hole,
            std::uint64_t again_ns = 0);
  void doubt_off(const Side& side);
  void write_note();

  const FlowTable* flows_;
  bool reverse_;
  Carried carried_;
  std::vector<Sender> senders_;  // by flow
  EndEvidence evidence_;
  std::vector<std::uint64_t> before_ns_;  // by packet of evidence_: its hole's
  std::uint64_t lost_ = 0, off_ = 0, unseen_ = 0, jumps_ = 0, missing_ids_ = 0, last_ns_ = 0;
};

}  // namespace fieldline::analysis
