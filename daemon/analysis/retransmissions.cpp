// SPDX-License-Identifier: Apache-2.0
#include "analysis/retransmissions.h"

#include <algorithm>

#include "analysis/receiver_evidence.h"
#include "analysis/sequence.h"

namespace fieldline::analysis {
namespace {

constexpr std::uint32_t kDuplicateAcks = 3;  // RFC 5681

}  // namespace

Retransmissions::Sender& Retransmissions::sender_of(std::uint32_t flow) {
  if (flow >= senders_.size()) senders_.resize(flow + std::size_t{1});
  return senders_[flow];
}

void Retransmissions::see(const Observation& seen) {
  if (!flows_->is_tcp(seen.flow) || seen.length() == 0 || (seen.flags & kRst)) return;
  Sender& sender = sender_of(seen.flow);
  if (begins_anew(seen, sender.started, sender.has_syn, sender.syn)) sender = Sender{};
  if (seen.flags & kSyn) {
    sender.has_syn = true;
    sender.syn = seen.sequence;
  }
  const std::uint64_t begin =
      sender.started ? position(sender.high, seen.sequence) : first_position(seen.sequence);
  if (!sender.started || (begin > sender.high && begin - sender.high > kJumpMax)) {
    sender.started = true;
    sender.high = sender.acked = sender.sacked = begin;
    sender.flight.clear();
  }
  send(sender, seen, begin, begin + seen.length());
}

void Retransmissions::send(Sender& sender, const Observation& seen, std::uint64_t begin,
                           std::uint64_t end) {
  if (end <= sender.acked) {
    // One byte (or none) below what is acknowledged asks whether the peer is there (RFC
    // 9293, 3.8.4).
    if (seen.length() > 1 || (seen.flags & kSyn)) note(sender, seen, nullptr, end);
    return;
  }
  auto& flight = sender.flight;
  auto at = flight.upper_bound(begin);
  if (at != flight.begin() && std::prev(at)->second.end > begin) --at;
  if (at != flight.end() && at->first < end) {
    const Sent before = at->second;
    if (is_network_copy(before.packet, seen)) return;
    note(sender, seen, &before, end);
  }
  while (at != flight.end() && at->first < end) {
    const auto [from, sent] = *at;
    at = flight.erase(at);
    if (from < begin) flight.emplace(from, Sent{begin, sent.packet});
    if (sent.end > end) at = flight.emplace(end, sent).first;
  }
  flight[begin] = {end, seen};
  sender.high = std::max(sender.high, end);
}

// before: the sending that this one repeats; nullptr: of data that was acknowledged here already.
void Retransmissions::note(const Sender& sender, const Observation& seen, const Sent* before,
                           std::uint64_t end) {
  Again again;
  again.packet = lost_packet(seen, *flows_, reverse_);
  again.acknowledged = before == nullptr;
  if (before) again.before = lost_packet(before->packet, *flows_, reverse_);
  again.end = static_cast<std::uint32_t>(end);
  const bool told = sender.duplicates >= kDuplicateAcks || sender.sacked > end;
  const bool knows = sender.acknowledged && !sender.options_cut;
  again.how = told ? Again::How::fast : knows ? Again::How::timer : Again::How::unknown;
  if (again_.size() < kListedMax) again_.push_back(again);
}

void Retransmissions::see_ack(const Sighting& ack) {
  const Observation& seen = ack.seen;
  if (!flows_->is_tcp(seen.flow) || !(seen.flags & kAck)) return;
  Sender& sender = sender_of(seen.flow);
  if (!sender.started) return;
  sender.acknowledged = true;
  sender.options_cut |= (seen.flags & kOptionsCut) != 0;
  const std::uint64_t acked = position(sender.high, seen.ack);
  if (acked > sender.high + kJumpMax) return;
  if (ack.sacks) {
    for (unsigned i = 0; i < ack.sacks->count; ++i) {
      const std::uint64_t right = position(sender.high, ack.sacks->blocks[i].right);
      if (right <= sender.high) sender.sacked = std::max(sender.sacked, right);
    }
  }
  if (acked <= sender.acked) {
    if (acked == sender.acked && seen.length() == 0) ++sender.duplicates;
    return;
  }
  sender.duplicates = 0;
  sender.acked = acked;
  auto& flight = sender.flight;
  while (!flight.empty() && flight.begin()->first < acked) {
    const Sent sent = flight.begin()->second;
    flight.erase(flight.begin());
    if (sent.end > acked) flight.emplace(acked, sent);
  }
}

}  // namespace fieldline::analysis
