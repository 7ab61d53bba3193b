// SPDX-License-Identifier: Apache-2.0
#include "analysis/flow_stats.h"

#include "analysis/sequence.h"

namespace fieldline::analysis {

FlowStats::Flow* FlowStats::flow_of(std::uint32_t number) {
  if (number >= kFlowsMax) return nullptr;  // FlowTable::kNone too
  if (number >= known_.size()) known_.resize(number + std::size_t{1});
  return &known_[number];
}

void FlowStats::see(const Sighting& packet, const Sending& sending) {
  const Observation& seen = packet.seen;
  Flow* flow = flow_of(seen.flow);
  if (flow == nullptr) {
    ++others_.packets;
    others_.payload_bytes += seen.payload;
    return;
  }
  FlowCounts& counts = flow->counts;
  if (counts.packets++ == 0) counts.first_ns = seen.time;
  counts.last_ns = seen.time;
  counts.data_packets += seen.payload > 0;
  counts.payload_bytes += seen.payload;
  if (flows_->is_tcp(seen.flow)) see_tcp(*flow, packet, sending);
}

void FlowStats::see_tcp(Flow& flow, const Sighting& packet, const Sending& sending) {
  const Observation& seen = packet.seen;
  FlowCounts& counts = flow.counts;
  counts.again_bytes += sending.repeated;
  switch (sending.kind) {
    case Sending::Kind::none:
    case Sending::Kind::fresh:
      break;
    case Sending::Kind::late:
      ++counts.late_packets;
      break;
    case Sending::Kind::again:
      ++counts.again_packets;
      break;
    case Sending::Kind::copy:
      ++counts.copies;
      counts.extra_bytes += seen.payload;
      break;
    case Sending::Kind::probe:
      ++(flow.opposite_window == 0 ? counts.window_probes : counts.keep_alives);
      counts.extra_bytes += seen.payload;
      break;
  }
  counts.syns += (seen.flags & kSyn) != 0;
  counts.fins += (seen.flags & kFin) != 0;
  counts.resets += (seen.flags & kRst) != 0;
  counts.sacks += packet.sacks != nullptr;
  if (seen.flags & kHasTimestamp) stamp(flow, seen);
  if ((seen.flags & (kAck | kRst)) == kAck) see_ack(flow, packet);
}

void FlowStats::see_ack(Flow& flow, const Sighting& packet) {
  const Observation& seen = packet.seen;
  FlowCounts& counts = flow.counts;
  const bool pure = seen.length() == 0;
  counts.acks += pure;
  counts.zero_windows += seen.window == 0 && !(seen.flags & (kSyn | kFin));
  const bool outstanding = flow.opposite_sends && before(seen.ack, flow.opposite_high);
  if (flow.acknowledges && pure && outstanding && seen.ack == flow.ack &&
      seen.window == flow.window && seen.window != 0)
    ++counts.duplicate_acks;
  if (!flow.acknowledges || before(flow.ack, seen.ack) || (seen.flags & kSyn)) flow.ack = seen.ack;
  flow.acknowledges = true;
  flow.window = seen.window;
}

// The first packet that carries a value: later ones are not what the echo is of (RFC 7323, 4.3).
void FlowStats::stamp(Flow& flow, const Observation& seen) {
  if (flow.stamped && !before(flow.last_tsval, seen.tsval)) return;
  flow.stamped = true;
  flow.last_tsval = seen.tsval;
  if (flow.stamps.size() < kEchoesMax)
    flow.stamps.push_back({seen.tsval, seen.length() > 0 ? seen.time : 0});
}

void FlowStats::see_opposite(const Sighting& packet, const Acknowledged& acknowledged) {
  const Observation& seen = packet.seen;
  if (!flows_->is_tcp(seen.flow)) return;
  Flow* flow = flow_of(seen.flow);
  if (flow == nullptr) return;
  if (acknowledged.rtt_ns) flow->counts.rtt.add(*acknowledged.rtt_ns);
  if (seen.flags & kRst) return;
  const std::uint32_t end = seen.sequence + seen.length();
  if (!flow->opposite_sends || before(flow->opposite_high, end) || (seen.flags & kSyn))
    flow->opposite_high = end;
  flow->opposite_sends = true;
  if (!(seen.flags & kAck)) return;
  flow->opposite_window = seen.window;
  if (acknowledged.advances && (seen.flags & kHasTimestamp)) echo(*flow, packet);
}

void FlowStats::echo(Flow& flow, const Sighting& packet) {
  auto at = flow.stamps.begin();
  while (at != flow.stamps.end() && before(at->tsval, packet.tsecr)) ++at;
  if (at != flow.stamps.end() && at->tsval == packet.tsecr) {
    if (at->sent_ns != 0) flow.counts.rtt_echoed.add(packet.seen.time - at->sent_ns);
    ++at;
  }
  flow.stamps.erase(flow.stamps.begin(), at);
}

std::vector<FlowCounts> FlowStats::counts() const {
  std::vector<FlowCounts> counts;
  counts.reserve(known_.size());
  for (const Flow& flow : known_) counts.push_back(flow.counts);
  return counts;
}

}  // namespace fieldline::analysis
