// SPDX-License-Identifier: Apache-2.0
#include "cli/top_view.h"

namespace fieldline::cli {
namespace {

using analysis::Direction;
using analysis::FlowCounts;
using analysis::FlowKey;
using analysis::PathReport;
using analysis::RttStats;
using analysis::Section;
using nlohmann::json;

json rtt_json(const RttStats& rtt) {
  if (rtt.samples == 0) return nullptr;
  return {{"samples", rtt.samples},
          {"min_ns", rtt.min_ns},
          {"avg_ns", rtt.mean_ns},
          {"max_ns", rtt.max_ns},
          {"stdev_ns", rtt.stdev_ns()}};
}

// What a sample cannot tell is null.
json known(std::uint64_t value, bool sampled) {
  return sampled ? json() : json(value);
}

json pace_json(const Pace& pace, bool sampled) {
  return {{"packets", pace.packets},
          {"data_packets", pace.data_packets},
          {"payload_bytes", pace.payload_bytes},
          {"retransmitted_packets", known(pace.again_packets, sampled)},
          {"bits_per_s", pace.bits_per_s},
          {"rtt_avg_ns", pace.rtt_samples ? json(pace.rtt_ns) : json()}};
}

json counts_json(const FlowCounts& counts, bool sampled) {
  json document = {{"packets", counts.packets},
                   {"data_packets", counts.data_packets},
                   {"payload_bytes", counts.payload_bytes},
                   {"first_ns", counts.first_ns},
                   {"last_ns", counts.last_ns},
                   {"rtt", rtt_json(counts.rtt)},
                   {"rtt_timestamps", rtt_json(counts.rtt_echoed)}};
  const std::pair<const char*, std::uint64_t> of_every_packet[] = {
      {"unique_bytes", counts.unique_bytes()},
      {"retransmitted_packets", counts.again_packets},
      {"retransmitted_bytes", counts.again_bytes},
      {"late_packets", counts.late_packets},
      {"copies", counts.copies},
      {"acks", counts.acks},
      {"duplicate_acks", counts.duplicate_acks},
      {"sacks", counts.sacks},
      {"zero_windows", counts.zero_windows},
      {"keep_alives", counts.keep_alives},
      {"window_probes", counts.window_probes},
      {"syns", counts.syns},
      {"fins", counts.fins},
      {"resets", counts.resets}};
  for (const auto& [name, value] : of_every_packet) document[name] = known(value, sampled);
  return document;
}

json losses_json(const FlowLosses& losses) {
  json list = json::array();
  for (const auto& lost : losses) list.push_back(lost ? json(*lost) : json());
  return list;
}

json flow_json(const TopView& view, const TopRow& row,
               const std::array<std::vector<FlowLosses>, 2>& losses) {
  const FlowKey& key = view.report.flows[row.flow];
  json flow = {{"protocol", key.protocol},
               {"a", key.a.to_string()},
               {"b", key.b.to_string()},
               {"port_a", key.port_a},
               {"port_b", key.port_b}};
  for (const bool reverse : {false, true}) {
    const Direction& direction = direction_of(view.report, reverse);
    const bool sampled = sample_n_of(direction) > 1;
    json one = counts_json(counts_of(direction, row.flow), sampled);
    one["interval"] = pace_json(row.pace[reverse], sampled);
    one["lost"] = losses_json(losses[reverse][row.flow]);
    flow[reverse ? "reverse" : "forward"] = std::move(one);
  }
  return flow;
}

json points_json(const TopView& view, bool reverse) {
  json list = json::array();
  for (const PointRow& row : view.points) {
    if (row.reverse != reverse) continue;
    const auto& point = direction_of(view.report, reverse).points[row.point];
    list.push_back(
        {{"name", point.name},
         {"packets", point.seen},
         {"bytes", point.bytes},
         {"interval",
          {{"packets", row.packets}, {"bytes", row.bytes}, {"bits_per_s", row.bits_per_s}}}});
  }
  return list;
}

json way_json(const TopView& view, bool reverse) {
  const Direction& direction = direction_of(view.report, reverse);
  json sections = json::array(), names = json::array();
  for (const auto& point : direction.points) names.push_back(point.name);
  const auto name = [&](int at) { return at < 0 ? json() : names[static_cast<std::size_t>(at)]; };
  for (const Section& section : direction.sections) {
    const std::uint64_t n = sample_n_of(direction, section);
    sections.push_back({{"from", name(section.upstream)},
                        {"to", name(section.downstream)},
                        {"lost", section.lost ? json(*section.lost * n) : json()}});
  }
  const std::uint64_t n = sample_n_of(direction);
  return {{"at", names.empty() ? json() : names[0]},
          {"sample_n", n},
          {"sections", std::move(sections)},
          {"points", points_json(view, reverse)},
          {"other_packets", direction.other_flows.packets * n},
          {"other_payload_bytes", direction.other_flows.payload_bytes * n}};
}

}  // namespace

json to_json(const TopView& view) {
  const PathReport& report = view.report;
  const std::array<std::vector<FlowLosses>, 2> losses = {losses_of(report, false),
                                                         losses_of(report, true)};
  json flows = json::array(), silent = json::array();
  for (const TopRow& row : view.rows) flows.push_back(flow_json(view, row, losses));
  for (const Silent& one : view.silent) silent.push_back(one.name);
  return {{"schema", "fieldline.top/1"},
          {"run", report.run.hex()},
          {"captures", report.captures},
          {"first_ns", report.first_ns},
          {"last_ns", report.last_ns},
          {"interval_ns", view.interval_ns ? json(view.interval_ns) : json()},
          {"ended", view.ended},
          {"counted", is_counted(report)},
          {"silent", std::move(silent)},
          {"flows", std::move(flows)},
          {"forward", way_json(view, false)},
          {"reverse", way_json(view, true)},
          {"complete", report.complete},
          {"incomplete", report.incomplete}};
}

}  // namespace fieldline::cli
