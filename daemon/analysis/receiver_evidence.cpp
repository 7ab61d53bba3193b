// SPDX-License-Identifier: Apache-2.0
#include "analysis/receiver_evidence.h"

#include <algorithm>
#include <map>

#include "analysis/sequence.h"

namespace fieldline::analysis {
namespace {

constexpr std::uint64_t kSegmentMax = 1 << 16;
// Without an IP id a copy that follows its equal this soon is the network's, not the sender's.
constexpr std::uint64_t kCopyNs = 2'000'000;

struct Segment {
  std::uint64_t end = 0;
  std::uint32_t at = 0;  // position in the track
  bool judged = false;   // a part of it was sent again already
};

struct Candidate {
  std::uint64_t end = 0;
  std::uint32_t at = 0;
  std::uint64_t again_ns = 0;  // when its range was sent again
};

struct Receiver {
  bool started = false;
  std::uint64_t high = 0;   // behind the highest byte seen or acknowledged
  std::uint64_t acked = 0;  // cumulative
  std::uint32_t syn = 0;
  bool has_syn = false;
  std::map<std::uint64_t, Segment> outstanding;        // by first byte, disjoint, not acknowledged
  std::multimap<std::uint64_t, Candidate> candidates;  // by first byte, in order of time
};

class Evidence {
 public:
  Evidence(const Track& data, const FlowTable& flows, bool reverse)
      : data_(data), flows_(flows), reverse_(reverse), receivers_(flows.size()) {}

  void see_data(std::uint32_t at) {
    const Observation& seen = data_[at];
    if (seen.length() == 0 || (seen.flags & kRst)) return;
    Receiver& receiver = receivers_[seen.flow];
    if (seen.flags & kSyn) {
      if (receiver.has_syn && receiver.syn != seen.sequence) restart(receiver);
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
    if (end <= receiver.acked) return;
    begin = std::max(begin, receiver.acked);
    if (is_copy(receiver, begin, seen)) return;
    cut(receiver, begin, end, [&](std::uint64_t from, Segment& segment) {
      if (!segment.judged)
        receiver.candidates.emplace(from, Candidate{segment.end, segment.at, seen.time});
      segment.judged = true;
    });
    receiver.outstanding[begin] = {end, at, false};
    receiver.high = std::max(receiver.high, end);
  }

  void see_ack(const Track& acks, const Observation& seen) {
    Receiver& receiver = receivers_[seen.flow];
    if (!receiver.started || !(seen.flags & kAck)) return;
    const std::uint64_t ack = position(receiver.high, seen.ack);
    if (ack > receiver.high + kJumpMax) return;
    if (seen.flags & kHasSack) see_sack(receiver, ack, acks.sacks(seen));
    if (ack <= receiver.acked) return;
    cut(receiver, receiver.acked, ack, [](std::uint64_t, Segment&) {});
    receiver.acked = ack;
    receiver.high = std::max(receiver.high, ack);
  }

  EndEvidence finish(const Watch& watch) {
    const std::uint64_t last_ns = data_.size() ? data_.by_time().back().time : 0;
    std::uint64_t open = 0;
    for (Receiver& receiver : receivers_) {
      for (const auto& [begin, candidate] : receiver.candidates) {
        const bool arrived = receiver.acked >= candidate.end;
        if (watch.settled(candidate.again_ns, last_ns) || (watch.final && arrived)) {
          lose(candidate);
        } else {
          ++evidence_.undecided;
        }
      }
      open += receiver.outstanding.size();
    }
    std::sort(lost_.begin(), lost_.end());
    for (const std::uint32_t at : lost_)
      evidence_.packets.push_back(lost_packet(data_[at], flows_, reverse_));
    evidence_.lost = lost_.size();
    evidence_.undecided += open;
    if (open && watch.final)
      add_note(evidence_.note, std::to_string(open) + " never acknowledged: undecided");
    return std::move(evidence_);
  }

 private:
  void restart(Receiver& receiver) {
    for (const auto& [begin, candidate] : receiver.candidates) lose(candidate);
    receiver = Receiver{};
  }

  void lose(const Candidate& candidate) { lost_.push_back(candidate.at); }

  bool is_copy(const Receiver& receiver, std::uint64_t begin, const Observation& seen) const {
    const auto found = receiver.outstanding.find(begin);
    if (found == receiver.outstanding.end()) return false;
    const Observation& earlier = data_[found->second.at];
    return earlier.digest == seen.digest && (seen.ip_id != 0 || seen.time - earlier.time < kCopyNs);
  }

  // Takes [begin, end) out of what is outstanding; `touch` sees each segment before it is cut.
  template <class Touch>
  static void cut(Receiver& receiver, std::uint64_t begin, std::uint64_t end, Touch touch) {
    auto& outstanding = receiver.outstanding;
    auto at = outstanding.upper_bound(begin);
    if (at != outstanding.begin()) --at;
    while (at != outstanding.end() && at->first < end) {
      const std::uint64_t from = at->first;
      if (at->second.end <= begin) {
        ++at;
        continue;
      }
      touch(from, at->second);
      Segment segment = at->second;
      at = outstanding.erase(at);
      if (segment.end > end) at = outstanding.emplace(end, segment).first;
      if (from < begin) {
        segment.end = begin;
        outstanding.emplace(from, segment);
      }
    }
  }

  // RFC 2883: the first block is a DSACK if it lies below the cumulative acknowledgement or inside
  // the second.
  static void see_sack(Receiver& receiver, std::uint64_t ack, const SackList& list) {
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
        cut(receiver, left, right, [](std::uint64_t, Segment&) {});
      }
    }
  }

  // Two copies of [left, right) arrived: of each range in it one candidate was not lost, the
  // youngest.
  static void excuse(Receiver& receiver, std::uint64_t left, std::uint64_t right) {
    auto& candidates = receiver.candidates;
    auto at = candidates.lower_bound(left - std::min(left, kSegmentMax));
    while (at != candidates.end() && at->first < right) {
      const auto next = candidates.upper_bound(at->first);
      const auto youngest = std::prev(next);
      if (youngest->second.end > left) candidates.erase(youngest);
      at = next;
    }
  }

  const Track& data_;
  const FlowTable& flows_;
  bool reverse_;
  std::vector<Receiver> receivers_;
  std::vector<std::uint32_t> lost_;
  EndEvidence evidence_;
};

// Both tracks are one sensor's, hence one clock; at the same instant the acknowledgement counts as
// the earlier.
EndEvidence walk(const Track& data, const Track& acks, const FlowTable& flows, bool reverse,
                 const Watch& watch) {
  Evidence evidence(data, flows, reverse);
  const auto& backward = acks.by_time();
  std::size_t next = 0;
  for (std::uint32_t at = 0; at <= data.size(); ++at) {
    while (next < backward.size() && (at == data.size() || backward[next].time <= data[at].time)) {
      if (flows.is_tcp(backward[next].flow)) evidence.see_ack(acks, backward[next]);
      ++next;
    }
    if (at < data.size() && flows.is_tcp(data[at].flow)) evidence.see_data(at);
  }
  return evidence.finish(watch);
}

}  // namespace

EndEvidence after_last(const Track& last, const Track* acks, const FlowTable& flows, bool reverse,
                       const Watch& watch) {
  const Carried carried = what_is_carried(last, flows);
  EndEvidence evidence;
  if (carried.tcp_data && acks) {
    evidence = walk(last, *acks, flows, reverse, watch);
  } else if (carried.tcp_data) {
    add_note(evidence.note, "no acknowledgements were seen here");
  } else if (carried.tcp_bare) {
    add_note(evidence.note, "nobody acknowledges acknowledgements");
  }
  if (carried.other) add_note(evidence.note, "UDP and other protocols: no receiver's evidence");
  return evidence;
}

}  // namespace fieldline::analysis
