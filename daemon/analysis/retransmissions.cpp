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

Sending Retransmissions::see(const Observation& seen) {
  if (!flows_->is_tcp(seen.flow) || (seen.flags & kRst)) return {};
  Sender& sender = sender_of(seen.flow);
  const std::size_t before = sender.flight.size();
  const Sending sending = take(sender, seen);
  held_ += sender.flight.size() - before;
  while (held_ > kHeldMax && !sender.flight.empty()) {
    sender.flight.pop_front();
    --held_;
  }
  return sending;
}

// The byte before the next, once everything is acknowledged (RFC 9293, 3.8.4), or the next one
// into a closed window (3.8.6.1).
bool Retransmissions::is_probe(const Sender& sender, const Observation& seen) {
  if (!sender.started || seen.length() > 1 || (seen.flags & (kSyn | kFin))) return false;
  const std::uint64_t begin = position(sender.high, seen.sequence);
  return (begin + 1 == sender.high && sender.acked == sender.high) ||
         (begin == sender.high && seen.length() == 1 && sender.closed);
}

Sending Retransmissions::take(Sender& sender, const Observation& seen) {
  if (is_probe(sender, seen)) return {Sending::Kind::probe, 0};
  if (seen.length() == 0) return {};
  if (begins_anew(seen, sender.started, sender.has_syn, sender.syn)) sender = Sender{};
  if (seen.flags & kSyn) {
    sender.has_syn = true;
    sender.syn = seen.sequence;
  }
  const std::uint64_t begin =
      sender.started ? position(sender.high, seen.sequence) : first_position(seen.sequence);
  if (!sender.started || (begin > sender.high && begin - sender.high > kJumpMax)) {
    sender.started = true;
    sender.high = sender.sacked = begin;
    sender.acked = 0;
    sender.flight.clear();
  }
  return send(sender, seen, begin, begin + seen.length());
}

Sending Retransmissions::send(Sender& sender, const Observation& seen, std::uint64_t begin,
                              std::uint64_t end) {
  if (end <= sender.acked) {
    sender.newest = std::max(sender.newest, seen.time);
    note(sender, seen, nullptr, end);
    return {Sending::Kind::again, seen.payload};
  }
  Sending sending;
  const std::uint64_t data = begin + ((seen.flags & kSyn) ? 1 : 0), data_end = data + seen.payload;
  const auto repeat = [&](std::uint64_t from, std::uint64_t to) {
    from = std::max(from, data);
    to = std::min(to, data_end);
    if (from < to) sending.repeated += static_cast<std::uint32_t>(to - from);
  };
  const Flight::Range* before = sender.flight.find(begin, end);
  const bool again = before || begin < sender.acked;
  if (again) {
    if (before && is_network_copy(before->value.packet, seen)) return {Sending::Kind::copy, 0};
    note(sender, seen, before ? &before->value : nullptr, end);
  }
  repeat(begin, sender.acked);
  const std::uint64_t from = std::max(begin, sender.acked);
  sender.flight.cut(from, end, [&](Flight::Range& sent) {
    repeat(std::max(sent.begin, from), std::min(sent.end, end));
    sent.value.ambiguous = true;
  });
  sending.kind = again                 ? Sending::Kind::again
                 : begin < sender.high ? Sending::Kind::late
                                       : Sending::Kind::fresh;
  sender.flight.put({begin, end, {seen, again}});
  sender.high = std::max(sender.high, end);
  return sending;
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

Acknowledged Retransmissions::see_ack(const Sighting& ack) {
  if (!flows_->is_tcp(ack.seen.flow) || !(ack.seen.flags & kAck)) return {};
  Sender& sender = sender_of(ack.seen.flow);
  if (!sender.started) return {};
  const std::size_t before = sender.flight.size();
  const Acknowledged acknowledged = take_ack(sender, ack);
  held_ -= before - sender.flight.size();
  return acknowledged;
}

Acknowledged Retransmissions::take_ack(Sender& sender, const Sighting& ack) {
  const Observation& seen = ack.seen;
  sender.acknowledged = true;
  sender.options_cut |= (seen.flags & kOptionsCut) != 0;
  if (!(seen.flags & kRst)) sender.closed = seen.window == 0;
  const std::uint64_t acked = position(sender.high, seen.ack);
  if (acked > sender.high + kJumpMax) return {};
  if (ack.sacks) {
    for (unsigned i = 0; i < ack.sacks->count; ++i) {
      const std::uint64_t right = position(sender.high, ack.sacks->blocks[i].right);
      if (right <= sender.high) sender.sacked = std::max(sender.sacked, right);
    }
  }
  if (acked <= sender.acked) {
    if (acked == sender.acked && seen.length() == 0) ++sender.duplicates;
    return {};
  }
  sender.duplicates = 0;
  sender.acked = acked;
  Acknowledged acknowledged{true, std::nullopt};
  auto& flight = sender.flight;
  const auto leave = [&](const Flight::Range& sent) {
    if (sent.end == acked && !sent.value.ambiguous && sent.value.packet.time >= sender.newest)
      acknowledged.rtt_ns = seen.time - sent.value.packet.time;
    sender.newest = std::max(sender.newest, sent.value.packet.time);
  };
  while (!flight.empty() && flight.front().begin < acked) {
    if (flight.front().end > acked) {
      flight.cut(flight.front().begin, acked, [&](Flight::Range& sent) {
        leave(sent);
        sent.value.ambiguous = true;
      });
    } else {
      leave(flight.front());
      flight.pop_front();
    }
  }
  return acknowledged;
}

}  // namespace fieldline::analysis
