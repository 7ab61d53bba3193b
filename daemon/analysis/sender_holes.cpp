// SPDX-License-Identifier: Apache-2.0
#include "analysis/sender_holes.h"

#include <algorithm>

#include "analysis/sequence.h"

namespace fieldline::analysis {
namespace {

constexpr std::uint64_t kReorderedWithin = 3;  // TCP's own duplicate-ack threshold
constexpr int kIdStepMax = 1024;
constexpr std::uint64_t kIdProof = 8;

std::optional<std::uint32_t> timestamp_of(const Observation& seen) {
  if (seen.flags & kHasTimestamp) return seen.tsval;
  return std::nullopt;
}

}  // namespace

void add_note(std::string& note, const std::string& more) {
  note += (note.empty() ? "" : "; ") + more;
}

void Carried::note(const Observation& seen, const FlowTable& flows) {
  const bool tcp = flows.is_tcp(seen.flow);
  other |= !tcp;
  (seen.payload > 0 ? tcp_data : tcp_bare) |= tcp;
}

// Zero is an id like others between its neighbours, and no id where the trail has not begun.
void IdTrail::note(const Observation& seen) {
  if (seen.flags & kRst) return;
  if (seen_ == 0) {
    if (seen.ip_id == 0) return;
    first_ = newest_ = seen.ip_id;
    seen_ = 1;
    return;
  }
  const int step = static_cast<std::int16_t>(seen.ip_id - static_cast<std::uint16_t>(newest_));
  const bool wild = step > kIdStepMax || step < -kIdStepMax;
  if (wild && seen.ip_id == 0) return;
  ++seen_;
  wild_ += wild;
  if (wild || step <= 0) return;
  ++rising_;
  newest_ += static_cast<std::uint64_t>(step);
}

std::uint64_t IdTrail::missing() const {
  const std::uint64_t sent = newest_ - first_ + 1;
  return usable() && rising_ >= kIdProof && sent > seen_ ? sent - seen_ : 0;
}

SenderHoles::Sender& SenderHoles::sender_of(std::uint32_t flow) {
  if (flow >= senders_.size()) senders_.resize(flow + std::size_t{1});
  return senders_[flow];
}

void SenderHoles::see(const Observation& seen) {
  carried_.note(seen, *flows_);
  last_ns_ = std::max(last_ns_, seen.time);
  if (!flows_->is_tcp(seen.flow)) return;
  Sender& sender = sender_of(seen.flow);
  sender.ids.note(seen);
  if (seen.length() > 0 && !(seen.flags & kRst)) see_data(sender, seen);
}

void SenderHoles::see_data(Sender& sender, const Observation& seen) {
  if (seen.flags & kSyn) {
    if (begins_anew(seen, sender.started, sender.has_syn, sender.syn)) restart(seen.flow);
    sender.has_syn = true;
    sender.syn = seen.sequence;
  }
  const std::uint64_t begin =
      sender.started ? position(sender.next, seen.sequence) : first_position(seen.sequence);
  const std::uint64_t end = begin + seen.length();
  if (!sender.started || (begin > sender.next && begin - sender.next > kJumpMax)) {
    jumps_ += sender.started;
    sender.started = true;
    sender.next = begin;
  } else if (begin > sender.next) {
    sender.holes[sender.next] = {begin,           sender.newest_ns, seen.time,
                                 sender.segments, seen.ip_id,       timestamp_of(seen)};
  } else {
    fill(seen.flow, begin, end, seen);
  }
  if (end > sender.next) {
    sender.next = end;
    sender.newest_ns = seen.time;
  }
  ++sender.segments;
  sender.largest = std::max<std::uint32_t>(sender.largest, seen.payload);
}

void SenderHoles::see_ack(const Observation& seen, const Acknowledged& acknowledged) {
  if (!flows_->is_tcp(seen.flow) || !(seen.flags & kAck)) return;
  Sender& sender = sender_of(seen.flow);
  if (const auto rtt = acknowledged.rtt_ns) {
    sender.rtt_ns = std::min(sender.rtt_ns.value_or(*rtt), *rtt);
  }
  auto& high = sender.acked;
  if (!high || before(*high, seen.ack) || (seen.flags & kSyn)) high = seen.ack;
}

EndEvidence SenderHoles::finish(const Side& side) {
  for (std::uint32_t flow = 0; flow < senders_.size(); ++flow) {
    const Sender& sender = senders_[flow];
    for (const auto& [begin, hole] : sender.holes) {
      const bool arrived = sender.acked && position(sender.next, *sender.acked) >= hole.end;
      if (arrived) {
        unseen_ += pieces(sender, hole.end - begin);
      } else if (side.watch.settled(hole.opened_ns, last_ns_)) {
        lose(flow, begin, hole.end, hole);
      } else {
        evidence_.undecided += pieces(sender, hole.end - begin);
      }
    }
    missing_ids_ += sender.ids.missing();
  }
  doubt_off(side);
  evidence_.lost = lost_;
  write_note();
  if (!carried_.tcp_data) {
    evidence_.lost.reset();
    evidence_.packets.clear();
    if (carried_.tcp_bare) add_note(evidence_.note, "acknowledgements leave no sequence holes");
  }
  if (carried_.other) add_note(evidence_.note, "UDP and other protocols have no sequence numbers");
  return std::move(evidence_);
}

std::uint64_t SenderHoles::pieces(const Sender& sender, std::uint64_t bytes) {
  const std::uint64_t size = std::max<std::uint32_t>(sender.largest, 1);
  return (bytes + size - 1) / size;
}

// The flow's addresses and ports are used by a new connection: what is still open will not be
// filled.
void SenderHoles::restart(std::uint32_t flow) {
  Sender& sender = senders_[flow];
  for (const auto& [begin, hole] : sender.holes) {
    const bool arrived = sender.acked && position(sender.next, *sender.acked) >= hole.end;
    if (arrived) {
      unseen_ += pieces(sender, hole.end - begin);
    } else {
      lose(flow, begin, hole.end, hole);
    }
  }
  sender.acked.reset();
  sender.rtt_ns.reset();
  sender.holes.clear();
  sender.started = false;
  sender.segments = 0;
}

// A late original, or a retransmission? The IP id says in which order the host sent them, then
// the TCP timestamp. Without either a late packet is one that comes sooner after the one in front
// of the hole than its sender can know of a loss, by an acknowledgement or by a timer (RFC 6298,
// RFC 8985; a router's "packet too big" is told sooner, and not known here): half of the least
// round trip leaves room for queues; or one that few have overtaken.
bool SenderHoles::late_original(const Sender& sender, const Hole& hole, const Observation& filler) {
  if (sender.ids.usable() && filler.ip_id != 0 && hole.opener_id != 0 &&
      filler.ip_id != hole.opener_id) {
    return static_cast<std::int16_t>(filler.ip_id - hole.opener_id) < 0;
  }
  const auto sent = timestamp_of(filler);
  if (sent && hole.opener_timestamp && *sent != *hole.opener_timestamp) {
    return before(*sent, *hole.opener_timestamp);
  }
  if (sender.rtt_ns && filler.time - hole.before_ns < *sender.rtt_ns / 2) return true;
  return sender.segments - hole.opened_count <= kReorderedWithin;
}

void SenderHoles::fill(std::uint32_t flow, std::uint64_t begin, std::uint64_t end,
                       const Observation& filler) {
  auto& holes = senders_[flow].holes;
  auto at = holes.upper_bound(begin);
  if (at != holes.begin()) --at;
  bool late = false;
  while (at != holes.end() && at->first < end) {
    const auto [from, hole] = *at;
    if (hole.end <= begin) {
      ++at;
      continue;
    }
    at = holes.erase(at);
    const std::uint64_t low = std::max(from, begin), high = std::min(hole.end, end);
    if (late_original(senders_[flow], hole, filler)) {
      late = true;
    } else {
      lose(flow, low, high, hole, filler.time);
    }
    if (from < low) {
      Hole rest = hole;
      rest.end = low;
      holes.emplace(from, rest);
    }
    if (high < hole.end) at = holes.emplace(high, hole).first;
  }
  evidence_.reordered += late;
}

void SenderHoles::lose(std::uint32_t flow, std::uint64_t begin, std::uint64_t end, const Hole& hole,
                       std::uint64_t again_ns) {
  const Sender& sender = senders_[flow];
  lost_ += pieces(sender, end - begin);
  const FlowKey& key = flows_->key(flow);
  while (begin < end && evidence_.packets.size() < kListedMax) {
    LostPacket lost;
    lost.timestamp_ns = hole.opened_ns;
    lost.again_ns = again_ns;
    lost.protocol = kTcp;
    lost.sport = reverse_ ? key.port_b : key.port_a;
    lost.dport = reverse_ ? key.port_a : key.port_b;
    lost.sequence = static_cast<std::uint32_t>(begin);
    lost.payload = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(end - begin, std::max<std::uint32_t>(sender.largest, 1)));
    begin += lost.payload;
    evidence_.packets.push_back(lost);
    before_ns_.push_back(hole.before_ns);
  }
}

// A hole that stands around a time at which nobody looked is no loss. Of those that are not listed
// nobody knows.
void SenderHoles::doubt_off(const Side& side) {
  auto& packets = evidence_.packets;
  std::size_t kept = 0;
  const std::size_t listed = packets.size();
  for (std::size_t at = 0; at < listed; ++at) {
    if (side.was_off(before_ns_[at], packets[at].timestamp_ns)) {
      evidence_.doubted.push_back(packets[at]);
    } else {
      packets[kept++] = packets[at];
    }
  }
  if (kept == listed) return;
  packets.resize(kept);
  off_ = lost_ - kept;
  lost_ = kept;
  evidence_.undecided += off_;
}

void SenderHoles::write_note() {
  std::string& note = evidence_.note;
  if (unseen_)
    add_note(note, std::to_string(unseen_) + " were acknowledged without being seen here");
  const std::uint64_t holes = lost_ + off_;
  if (missing_ids_ > holes) {
    add_note(note, "gaps of the IP id name " + std::to_string(missing_ids_) +
                       " packets that did not come here; " + std::to_string(holes) +
                       " left a sequence hole");
  }
  if (off_)
    add_note(note, std::to_string(off_) + " undecided: it was off when they may have passed");
  if (jumps_) {
    add_note(note,
             std::to_string(jumps_) + " jumps of the sequence numbers are too large to be losses");
  }
  if (lost_ > evidence_.packets.size()) {
    add_note(note, "the list names the first " + std::to_string(evidence_.packets.size()));
  }
}

}  // namespace fieldline::analysis
