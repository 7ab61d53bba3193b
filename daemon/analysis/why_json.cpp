// SPDX-License-Identifier: Apache-2.0
// docs/format/why.md.
#include "analysis/streams.h"
#include "analysis/why.h"

namespace fieldline::analysis {
namespace {

using nlohmann::json;

json streams_json(const WhyReport& report) {
  const Streams found = side_by_side(report.flows);
  if (found.streams.empty()) return {};
  json sockets = json::array();
  for (const Stream& stream : found.streams)
    sockets.push_back({{"sockid", stream.flow->cookie},
                       {"local_port", stream.flow->local_port},
                       {"peer_port", stream.flow->peer_port},
                       {"bits_per_second", stream.rate}});
  json slow;
  if (found.slowest)
    slow = {{"sockid", found.slowest->cookie},
            {"local_port", found.slowest->local_port},
            {"peer_port", found.slowest->peer_port},
            {"limit", name_of(found.slowest->total.greatest())}};
  return {{"streams", std::move(sockets)},
          {"others_bits_per_second", found.others},
          {"slow", std::move(slow)}};
}

json shares(const LimitTimes& times) {
  json object = json::object();
  const std::uint64_t all = times.sum();
  for (std::size_t at = 0; at < kLimits; ++at) {
    const auto limit = static_cast<Limit>(at);
    if (times[limit] > 0)
      object[name_of(limit)] = {{"ns", times[limit]}, {"percent", percent(times[limit], all)}};
  }
  return object;
}

json section_json(const Direction& direction, std::size_t at) {
  const Section& section = direction.sections[at];
  const auto name = [&](int index) {
    return index < 0 ? json() : json(direction.points[static_cast<std::size_t>(index)].name);
  };
  return {{"from", name(section.upstream)}, {"to", name(section.downstream)}};
}

json facts_json(const SendFacts& facts) {
  return {{"records", facts.records},
          {"samples", facts.samples},
          {"first_ns", facts.first_ns},
          {"last_ns", facts.last_ns},
          {"writes", facts.writes},
          {"written", facts.written},
          {"refused", facts.refused},
          {"longest_gap_ns", facts.longest_gap_ns},
          {"acked", facts.acked},
          {"retransmitted", facts.retransmitted},
          {"recoveries", facts.recoveries},
          {"timeouts", facts.timeouts},
          {"reductions", facts.reductions},
          {"zero_windows", facts.zero_windows},
          {"window_min", facts.window_min},
          {"window_max", facts.window_max},
          {"cwnd_min", facts.cwnd_min},
          {"cwnd_max", facts.cwnd_max},
          {"mss", facts.mss},
          {"rtt_min_us", facts.rtt_min_us},
          {"rtt_max_us", facts.rtt_max_us},
          {"send_buffer", facts.send_buffer},
          {"pacing_rate", facts.pacing_rate},
          {"pid", facts.pid},
          {"kernel",
           {{"span_ns", facts.kernel_ns},
            {"busy_us", facts.busy_us},
            {"rwnd_limited_us", facts.rwnd_limited_us},
            {"sndbuf_limited_us", facts.sndbuf_limited_us}}}};
}

json reader_json(const WhyFlow& flow) {
  if (!flow.reader) return {};
  const ReadFacts& reader = *flow.reader;
  return {{"host", flow.reader_host},
          {"reads", reader.reads},
          {"read", reader.read},
          {"unread_max", reader.unread_max},
          {"receive_buffer", reader.receive_buffer},
          {"longest_gap_ns", reader.longest_gap_ns},
          {"pid", reader.pid}};
}

json flow_json(const WhyReport& report, const WhyFlow& flow) {
  json queues = json::array(), losses = json::array(), intervals = json::array();
  for (const auto& [section, ns] : flow.queue_ns) {
    queues.push_back(section_json(direction_of(report, flow), section));
    queues.back()["ns"] = ns;
  }
  for (const auto& [section, count] : flow.lost) {
    losses.push_back(section_json(direction_of(report, flow), section));
    losses.back()["packets"] = count;
  }
  for (const WhyInterval& interval : flow.intervals) {
    json times = json::object();
    for (std::size_t at = 0; at < kLimits; ++at) {
      const auto limit = static_cast<Limit>(at);
      if (interval.times[limit] > 0) times[name_of(limit)] = interval.times[limit];
    }
    intervals.push_back({{"from_ns", interval.from_ns}, {"ns", std::move(times)}});
    if (interval.section)
      intervals.back()["queue"] = section_json(direction_of(report, flow), *interval.section);
  }
  return {{"host", flow.host.empty() ? json() : json(flow.host)},
          {"point", flow.point.empty() ? json() : json(flow.point)},
          {"sockid", flow.host.empty() ? json() : json(flow.cookie)},
          {"minor", flow.minor},
          {"local_port", flow.local_port},
          {"peer_port", flow.peer_port},
          {"direction", !flow.reverse   ? json()
                        : *flow.reverse ? "reverse"
                                        : "forward"},
          {"limits", shares(flow.total)},
          {"queues", std::move(queues)},
          {"losses", std::move(losses)},
          {"facts", facts_json(flow.facts)},
          {"reader", reader_json(flow)},
          {"interval_ns", flow.width_ns},
          {"intervals", std::move(intervals)}};
}

}  // namespace

json to_json(const WhyReport& report) {
  json flows = json::array();
  for (const WhyFlow& flow : report.flows) flows.push_back(flow_json(report, flow));
  return {{"schema", "fieldline.why/1"},
          {"run", report.path.run.is_zero() ? json() : json(report.path.run.hex())},
          {"limits", shares(report.total)},
          {"flows", std::move(flows)},
          {"side_by_side", streams_json(report)},
          {"complete", report.path.complete && report.doubts.empty()},
          {"doubts", report.doubts}};
}

}  // namespace fieldline::analysis
