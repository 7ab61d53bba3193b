// SPDX-License-Identifier: Apache-2.0
#include "analysis/wire_sender.h"

#include <algorithm>

#include "analysis/sequence.h"

namespace fieldline::analysis {
namespace {

constexpr std::uint64_t kIdleNs = 1'000'000'000;
constexpr std::uint32_t kFar = std::uint32_t{1} << 30;  // no window is larger (RFC 7323)
// A sender that an acknowledgement lets send does so at once: of the round trip, or this much.
constexpr std::uint64_t kAtOnceShare = 4, kAtOnceNs = 1'000'000;

}  // namespace

WireSenders::Flow* WireSenders::flow_of(std::uint32_t number) {
  if (number < flows_.size() && flows_[number]) return &*flows_[number];
  if (!table_->is_tcp(number)) return nullptr;
  if (known_ == kFlowsMost) {
    ++left_out_;
    return nullptr;
  }
  if (number >= flows_.size()) flows_.resize(number + std::size_t{1});
  ++known_;
  return &flows_[number].emplace(interval_ns_);
}

void WireSenders::see(const Sighting& packet, const Sending& sending) {
  const Observation& seen = packet.seen;
  Flow* flow = flow_of(seen.flow);
  if (!flow) return;
  if (seen.flags & kSyn) flow->own_scale = packet.window_scale;
  if (sending.kind == Sending::Kind::none || sending.kind == Sending::Kind::copy) return;
  SendFacts& facts = flow->waiting.facts;
  const std::uint32_t end = seen.sequence + seen.length();
  if (!flow->sending) facts.first_ns = flow->since_ns = seen.time;
  const bool first_of_all = !flow->sending && !flow->acknowledged;
  if (first_of_all || (seen.flags & kSyn)) begin(*flow, seen);
  if (!flow->sending) flow->high = end;
  flow->sending = true;
  facts.last_ns = std::max(facts.last_ns, seen.time);
  facts.mss = std::max<std::uint32_t>(facts.mss, seen.payload);
  const bool again = sending.kind == Sending::Kind::again;
  flow->probed = sending.kind == Sending::Kind::probe;
  // What ends a wait by being sent again was waited for.
  elapse(*flow, seen.time, again ? std::optional(Limit::loss) : std::nullopt);
  if (again) {
    ++facts.retransmitted;
    if (!flow->recovering) ++facts.recoveries;
    flow->recovering = true;
    flow->recover = flow->high;
  } else if (seen.payload > 0) {
    facts.written += seen.payload;
    LimitBin& bin = flow->waiting.series.at(seen.time);
    ++bin.sent;
    bin.sent_on_ack += flow->acked_ns != 0 && seen.time - flow->acked_ns <= at_once(*flow);
  }
  if (before(flow->high, end)) flow->high = end;
}

// Sooner than what has nothing to do with acknowledgements would be for half of its segments.
std::uint64_t WireSenders::at_once(const Flow& flow) {
  return std::min(std::max(flow.srtt_ns / kAtOnceShare, kAtOnceNs), flow.ack_gap_ns / 2);
}

// A connection, perhaps on the ports of an earlier one.
void WireSenders::begin(Flow& flow, const Observation& seen) {
  if (flow.sending) elapse(flow, seen.time);
  flow.high = flow.una = seen.sequence;
  flow.acknowledged = flow.recovering = false;
}

void WireSenders::see_ack(const Sighting& packet, const Acknowledged& acknowledged) {
  const Observation& seen = packet.seen;
  if (!(seen.flags & (kAck | kSyn))) return;
  Flow* flow = flow_of(seen.flow);
  if (!flow) return;
  if (seen.flags & kSyn) flow->peer_scale = packet.window_scale;
  if (!(seen.flags & kAck) || (seen.flags & kRst)) return;
  if (flow->sending) elapse(*flow, seen.time);
  SendFacts& facts = flow->waiting.facts;
  if (!flow->acknowledged || before(flow->una, seen.ack)) {
    if (flow->acknowledged) facts.acked += seen.ack - flow->una;
    flow->una = seen.ack;
    // Not all that was sent came by here.
    if (before(flow->high, flow->una)) flow->high = flow->una;
    const std::uint64_t gap =
        flow->acked_ns && seen.time > flow->acked_ns ? seen.time - flow->acked_ns : 0;
    flow->ack_gap_ns = flow->ack_gap_ns ? flow->ack_gap_ns - flow->ack_gap_ns / 8 + gap / 8 : gap;
    flow->acked_ns = seen.time;
    if (flow->recovering && !before(seen.ack, flow->recover)) flow->recovering = false;
  }
  flow->acknowledged = true;
  take_window(*flow, seen);
  if (acknowledged.rtt_ns) note_rtt(*flow, seen.time, *acknowledged.rtt_ns);
  if (flow->sending) facts.last_ns = std::max(facts.last_ns, seen.time);
}

// Without both SYNs the window's scale is not known (RFC 7323), and so not the window.
void WireSenders::take_window(Flow& flow, const Observation& seen) {
  const bool scaled = !(seen.flags & kSyn);
  if (flow.own_scale == kUnknownScale || flow.peer_scale == kUnknownScale) {
    flow.window = kFar;
    return;
  }
  const bool both = flow.own_scale != kNoWindowScale && flow.peer_scale != kNoWindowScale;
  flow.window = std::uint32_t{seen.window}
                << (scaled && both ? std::min<unsigned>(flow.peer_scale, 14) : 0);
  SendFacts& facts = flow.waiting.facts;
  facts.zero_windows += flow.window == 0 && facts.window_min != 0;
  facts.window_min = facts.window_max ? std::min(facts.window_min, flow.window) : flow.window;
  facts.window_max = std::max(facts.window_max, flow.window);
}

void WireSenders::note_rtt(Flow& flow, std::uint64_t time_ns, std::uint64_t rtt_ns) {
  SendFacts& facts = flow.waiting.facts;
  flow.srtt_ns = flow.srtt_ns ? flow.srtt_ns - flow.srtt_ns / 8 + rtt_ns / 8 : rtt_ns;  // RFC 6298
  const auto us = static_cast<std::uint32_t>(std::min<std::uint64_t>(rtt_ns / 1000, UINT32_MAX));
  facts.rtt_min_us = facts.rtt_min_us ? std::min(facts.rtt_min_us, us) : us;
  facts.rtt_max_us = std::max(facts.rtt_max_us, us);
  LimitBin& bin = flow.waiting.series.at(time_ns);
  ++bin.rtt_samples;
  bin.rtt_sum_us += us;
}

// With nothing under way for more than a round trip the sender had nothing to send. For less it may
// be what takes from this point to the sender and back.
Limit WireSenders::limit_of(const Flow& flow, std::uint64_t waited_ns) {
  if (!flow.acknowledged) return Limit::unknown;
  if (flow.recovering) return Limit::loss;
  const std::uint32_t mss = flow.waiting.facts.mss;
  const bool waits = flow.under_way() > 0 || flow.probed;
  if (waits && flow.window < kFar && std::uint64_t{flow.under_way()} + mss > flow.window)
    return flow.window >= flow.waiting.facts.window_max / 2 ? Limit::receive_window
                                                            : Limit::receiver;
  if (flow.under_way() > 0 && flow.under_way() < kFar) return Limit::sender;
  if (waited_ns >= kIdleNs) return Limit::idle;
  return flow.srtt_ns != 0 && waited_ns > flow.srtt_ns ? Limit::application : Limit::sender;
}

void WireSenders::elapse(Flow& flow, std::uint64_t until_ns, std::optional<Limit> known) {
  if (until_ns <= flow.since_ns) return;
  const Limit limit = known ? *known : limit_of(flow, until_ns - flow.since_ns);
  add_time(flow.waiting.series, flow.since_ns, until_ns, limit);
  flow.since_ns = until_ns;
}

std::vector<WireWaiting> WireSenders::finish() const {
  std::vector<WireWaiting> all;
  for (const auto& flow : flows_) {
    if (!flow || flow->waiting.facts.written == 0) continue;
    const FlowKey& key = table_->key(static_cast<std::uint32_t>(&flow - flows_.data()));
    all.push_back(flow->waiting);
    all.back().sport = reverse_ ? key.port_b : key.port_a;
    all.back().dport = reverse_ ? key.port_a : key.port_b;
  }
  return all;
}

}  // namespace fieldline::analysis
