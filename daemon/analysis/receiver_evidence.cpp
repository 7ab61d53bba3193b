// SPDX-License-Identifier: Apache-2.0
#include "analysis/receiver_evidence.h"

#include <algorithm>

#include "analysis/sequence.h"

namespace fieldline::analysis {
namespace {

constexpr std::uint64_t kSegmentMax = 1 << 16;
// Without an IP id a copy that follows its equal this soon is the network's, not the sender's.
constexpr std::uint64_t kCopyNs = 2'000'000;

}  // namespace

bool is_network_copy(const Observation& first, const Observation& second) {
  return first.digest == second.digest && first.ip_id == second.ip_id &&
         (second.ip_id != 0 || second.time - first.time < kCopyNs);
}

ReceiverEvidence::Receiver& ReceiverEvidence::receiver_of(std::uint32_t flow) {
  if (flow >= receivers_.size()) receivers_.resize(flow + std::size_t{1});
  return receivers_[flow];
}

void ReceiverEvidence::see(const Observation& seen) {
  carried_.note(seen, *flows_);
  last_ns_ = std::max(last_ns_, seen.time);
  if (!flows_->is_tcp(seen.flow) || seen.length() == 0 || (seen.flags & kRst)) return;
  Receiver& receiver = receiver_of(seen.flow);
  const std::size_t before = receiver.outstanding.size();
  see_data(receiver, seen);
  held_ += receiver.outstanding.size() - before;
  while (held_ > kHeldMax && !receiver.outstanding.empty()) {
    receiver.outstanding.pop_front();
    --held_;
    ++forgotten_;
  }
}

void ReceiverEvidence::see_data(Receiver& receiver, const Observation& seen) {
  if (seen.flags & kSyn) {
    if (begins_anew(seen, receiver.started, receiver.has_syn, receiver.syn)) restart(receiver);
    receiver.has_syn = true;
    receiver.syn = seen.sequence;
  }
  std::uint64_t begin =
      receiver.started ? position(receiver.high, seen.sequence) : first_position(seen.sequence);
  const std::uint64_t end = begin + seen.length();
  if (!receiver.started || (begin > receiver.high && begin - receiver.high > kJumpMax)) {
    receiver.started = true;
    receiver.high = receiver.acked = begin;
    receiver.outstanding.clear();
  }
  if (end <= receiver.acked) {
    // A DSACK to come is of this one.
    receiver.candidates.emplace(begin, Candidate{end, seen, seen.time, false, true});
    return;
  }
  begin = std::max(begin, receiver.acked);
  if (is_copy(receiver, begin, seen)) {
    receiver.candidates.emplace(begin, Candidate{end, seen, seen.time, false, true});
    return;
  }
  bool again = false;
  receiver.outstanding.cut(begin, end, [&](Outstanding::Range& range) {
    again = true;
    Segment& segment = range.value;
    const bool missed = receiver.delivered_ns > segment.packet.time;
    if (!segment.judged) {
      receiver.candidates.emplace(range.begin,
                                  Candidate{range.end, segment.packet, seen.time, missed, false});
    }
    segment.judged = true;
  });
  receiver.outstanding.put({begin, end, {seen, false, again}});
  receiver.high = std::max(receiver.high, end);
}

void ReceiverEvidence::arrive(Receiver& receiver, std::uint64_t begin, std::uint64_t end) {
  receiver.outstanding.cut(begin, end, [&](const Outstanding::Range& range) {
    if (!range.value.again)
      receiver.delivered_ns = std::max(receiver.delivered_ns, range.value.packet.time);
  });
}

void ReceiverEvidence::see_ack(const Sighting& ack) {
  const Observation& seen = ack.seen;
  acknowledged_ = true;
  if (!flows_->is_tcp(seen.flow)) return;
  Receiver& receiver = receiver_of(seen.flow);
  if (!receiver.started || !(seen.flags & kAck)) return;
  const std::size_t before = receiver.outstanding.size();
  take_ack(receiver, ack);
  held_ += receiver.outstanding.size() - before;
}

void ReceiverEvidence::take_ack(Receiver& receiver, const Sighting& ack) {
  const Observation& seen = ack.seen;
  const std::uint64_t acked = position(receiver.high, seen.ack);
  if (acked > receiver.high + kJumpMax) return;
  if (ack.sacks) see_sack(receiver, acked, *ack.sacks);
  if (acked <= receiver.acked) return;
  arrive(receiver, receiver.acked, acked);
  receiver.acked = acked;
  receiver.high = std::max(receiver.high, acked);
}

EndEvidence ReceiverEvidence::finish(const Side& side) {
  if (carried_.tcp_data && acknowledged_) {
    judge(side);
  } else if (carried_.tcp_data) {
    add_note(evidence_.note, "no acknowledgements were seen here");
  } else if (carried_.tcp_bare) {
    add_note(evidence_.note, "nobody acknowledges acknowledgements");
  }
  if (carried_.other) add_note(evidence_.note, "UDP and other protocols: no receiver's evidence");
  return std::move(evidence_);
}

void ReceiverEvidence::judge(const Side& side) {
  const Watch& watch = side.watch;
  std::uint64_t open = 0, unheard = 0;
  for (const Receiver& receiver : receivers_) {
    for (const auto& [begin, candidate] : receiver.candidates) {
      const bool arrived = receiver.acked >= candidate.end;
      if (candidate.redundant) continue;
      const bool settled = watch.settled(candidate.again_ns, last_ns_) || (watch.final && arrived);
      // Its acknowledgement, or the word that it came twice, may have passed while nobody looked.
      const bool off = side.was_off(candidate.packet.time, candidate.again_ns + kGraceNs);
      unheard += off;
      if (settled && !off) {
        lose(candidate);
      } else {
        doubt(candidate.packet);
      }
    }
    open += receiver.outstanding.size();
    receiver.outstanding.for_each(
        [this](const Outstanding::Range& range) { doubt(range.value.packet); });
  }
  if (unheard) {
    add_note(evidence_.note, std::to_string(unheard) +
                                 " undecided: it was off when the answer to them may have passed");
  }
  evidence_.undecided += forgotten_;
  if (forgotten_) {
    add_note(evidence_.note, std::to_string(forgotten_) +
                                 " undecided: too much was not acknowledged here to be held");
  }
  std::sort(
      evidence_.packets.begin(), evidence_.packets.end(),
      [](const LostPacket& a, const LostPacket& b) { return a.timestamp_ns < b.timestamp_ns; });
  evidence_.lost = lost_;
  if (open && watch.final)
    add_note(evidence_.note, std::to_string(open) + " never acknowledged: undecided");
  if (lost_ > evidence_.packets.size()) {
    add_note(evidence_.note,
             "the list names the first " + std::to_string(evidence_.packets.size()));
  }
}

void ReceiverEvidence::doubt(const Observation& packet) {
  ++evidence_.undecided;
  if (evidence_.undecided_packets.size() < kListedMax)
    evidence_.undecided_packets.push_back(packet_name(packet));
}

void ReceiverEvidence::restart(Receiver& receiver) {
  for (const auto& [begin, candidate] : receiver.candidates) lose(candidate);
  receiver = Receiver{};
}

void ReceiverEvidence::lose(const Candidate& candidate) {
  if (candidate.redundant) return;
  ++lost_;
  if (evidence_.packets.size() >= kListedMax) return;
  evidence_.packets.push_back(lost_packet(candidate.packet, *flows_, reverse_));
  evidence_.packets.back().or_its_ack = !candidate.missed;
}

bool ReceiverEvidence::is_copy(const Receiver& receiver, std::uint64_t begin,
                               const Observation& seen) {
  const Outstanding::Range* found = receiver.outstanding.find(begin, begin + 1);
  return found && found->begin == begin && is_network_copy(found->value.packet, seen);
}

// RFC 2883: the first block is a DSACK if it lies below the cumulative acknowledgement or inside
// the second.
void ReceiverEvidence::see_sack(Receiver& receiver, std::uint64_t ack, const SackList& list) {
  std::array<std::pair<std::uint64_t, std::uint64_t>, 4> blocks{};
  for (unsigned i = 0; i < list.count; ++i) {
    blocks[i] = {position(receiver.high, list.blocks[i].left),
                 position(receiver.high, list.blocks[i].right)};
  }
  for (unsigned i = 0; i < list.count; ++i) {
    const auto [left, right] = blocks[i];
    if (left >= right || right - left > kJumpMax) continue;
    const bool below = right <= ack;
    const bool inside = list.count > 1 && left >= blocks[1].first && right <= blocks[1].second;
    if (i == 0 && (below || inside)) {
      excuse(receiver, left, right);
    } else {
      arrive(receiver, left, right);
    }
  }
}

// Two copies of [left, right) arrived: of each range in it one candidate was not lost, the
// youngest.
void ReceiverEvidence::excuse(Receiver& receiver, std::uint64_t left, std::uint64_t right) {
  auto& candidates = receiver.candidates;
  auto at = candidates.lower_bound(left - std::min(left, kSegmentMax));
  while (at != candidates.end() && at->first < right) {
    const auto next = candidates.upper_bound(at->first);
    const auto youngest = std::prev(next);
    if (youngest->second.end > left) candidates.erase(youngest);
    at = next;
  }
}

}  // namespace fieldline::analysis
