// SPDX-License-Identifier: Apache-2.0
#include "cli/top_view.h"

#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

#include "cli/flow_spec.h"
#include "cli/text.h"

namespace fieldline::cli {
namespace {

using analysis::Direction;
using analysis::FlowCounts;
using analysis::FlowKey;
using analysis::PathReport;
using analysis::RttStats;
using analysis::Section;
using nlohmann::json;

const Direction& direction_of(const PathReport& report, bool reverse) {
  return reverse ? report.reverse : report.forward;
}

FlowCounts counts_of(const std::vector<FlowCounts>& counts, std::size_t flow) {
  return flow < counts.size() ? counts[flow] : FlowCounts{};
}

// Another vantage point became the first one: its counts begin anew.
bool begins_anew(const FlowCounts& now, const FlowCounts& before) {
  return now.packets < before.packets || now.first_ns != before.first_ns;
}

Pace pace_of(const FlowCounts& now, FlowCounts before, std::uint64_t interval_ns) {
  if (begins_anew(now, before)) before = {};
  Pace pace;
  pace.packets = now.packets - before.packets;
  pace.data_packets = now.data_packets - before.data_packets;
  pace.payload_bytes = now.payload_bytes - before.payload_bytes;
  pace.again_packets = now.again_packets - before.again_packets;
  pace.rtt_samples = now.rtt.samples - before.rtt.samples;
  if (pace.rtt_samples > 0) {
    pace.rtt_ns = (now.rtt.mean_ns * static_cast<double>(now.rtt.samples) -
                   before.rtt.mean_ns * static_cast<double>(before.rtt.samples)) /
                  static_cast<double>(pace.rtt_samples);
  }
  const std::uint64_t over = interval_ns != 0 ? interval_ns : now.last_ns - now.first_ns;
  if (over != 0) {
    pace.bits_per_s = static_cast<double>(pace.payload_bytes) * 8e9 / static_cast<double>(over);
  }
  return pace;
}

// What a lost packet says of its flow.
std::uint64_t ports_of(std::uint8_t protocol, std::uint16_t from, std::uint16_t to) {
  return static_cast<std::uint64_t>(protocol) << 32 | static_cast<std::uint64_t>(from) << 16 | to;
}
std::uint64_t ports_of(const FlowKey& key, bool reverse) {
  return reverse ? ports_of(key.protocol, key.port_b, key.port_a)
                 : ports_of(key.protocol, key.port_a, key.port_b);
}

std::string losses_text(const FlowLosses& losses) {
  std::string text;
  for (const auto& lost : losses)
    text += (text.empty() ? "" : "/") + (lost ? short_count(*lost) : "?");
  return text.empty() ? "-" : text;
}

std::string sections_text(const PathReport& report) {
  std::string text;
  for (const bool reverse : {false, true}) {
    const Direction& direction = direction_of(report, reverse);
    std::string names;
    for (const Section& section : direction.sections)
      names += (names.empty() ? "" : " / ") + name_of(direction, section);
    if (!names.empty()) text += std::string("LOST ") + (reverse ? "<- " : "-> ") + names + "\n";
  }
  return text;
}

std::string sender_text(const FlowKey& key, bool reverse) {
  return endpoint_text(reverse ? key.b : key.a, reverse ? key.port_b : key.port_a);
}

std::string headline(const TopView& view) {
  const PathReport& report = view.report;
  double bits[2] = {0, 0};
  for (const TopRow& row : view.rows) {
    for (const std::size_t way : {0u, 1u}) bits[way] += row.pace[way].bits_per_s;
  }
  const std::string what = report.captures.empty()
                               ? "run " + report.run.brief()
                               : std::to_string(report.captures.size()) +
                                     (report.captures.size() == 1 ? " capture" : " captures");
  return fmt::format("{}  {}  {} flows, {} shown  -> {}  <- {}{}\n", what,
                     short_duration(report.last_ns - report.first_ns), report.flows.size(),
                     view.rows.size(), rate_text(bits[0]), rate_text(bits[1]),
                     view.ended ? "" : "  (on)");
}

json rtt_json(const RttStats& rtt) {
  if (rtt.samples == 0) return nullptr;
  return {{"samples", rtt.samples},
          {"min_ns", rtt.min_ns},
          {"avg_ns", rtt.mean_ns},
          {"max_ns", rtt.max_ns},
          {"stdev_ns", rtt.stdev_ns()}};
}

json pace_json(const Pace& pace) {
  return {{"packets", pace.packets},
          {"data_packets", pace.data_packets},
          {"payload_bytes", pace.payload_bytes},
          {"retransmitted_packets", pace.again_packets},
          {"bits_per_s", pace.bits_per_s},
          {"rtt_avg_ns", pace.rtt_samples ? json(pace.rtt_ns) : json()}};
}

json counts_json(const FlowCounts& counts) {
  return {{"packets", counts.packets},
          {"data_packets", counts.data_packets},
          {"payload_bytes", counts.payload_bytes},
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
          {"resets", counts.resets},
          {"first_ns", counts.first_ns},
          {"last_ns", counts.last_ns},
          {"rtt", rtt_json(counts.rtt)},
          {"rtt_timestamps", rtt_json(counts.rtt_echoed)}};
}

json losses_json(const FlowLosses& losses) {
  json list = json::array();
  for (const auto& lost : losses) list.push_back(lost ? json(*lost) : json());
  return list;
}

}  // namespace

TopView TopPacer::view(PathReport report, std::uint64_t interval_ns, bool ended) {
  TopView view;
  view.interval_ns = begun_ ? interval_ns : 0;
  view.ended = ended;
  for (std::size_t flow = 0; flow < report.flows.size(); ++flow) {
    TopRow row{flow, {}};
    for (const bool reverse : {false, true}) {
      const FlowCounts now = counts_of(direction_of(report, reverse).flows, flow);
      const FlowCounts before =
          view.interval_ns != 0 ? counts_of(before_[reverse], flow) : FlowCounts{};
      row.pace[reverse] = pace_of(now, before, view.interval_ns);
    }
    if (row.pace[0].packets + row.pace[1].packets > 0) view.rows.push_back(row);
  }
  const auto bits = [](const TopRow& row) {
    return row.pace[0].bits_per_s + row.pace[1].bits_per_s;
  };
  std::stable_sort(view.rows.begin(), view.rows.end(),
                   [&](const TopRow& a, const TopRow& b) { return bits(a) > bits(b); });
  for (const bool reverse : {false, true}) before_[reverse] = direction_of(report, reverse).flows;
  begun_ = true;
  view.report = std::move(report);
  return view;
}

// A lost packet is known by its ports: flows that share them (of a grant for many addresses) cannot
// be told apart, and of a list that is not whole nothing is said.
std::vector<FlowLosses> losses_of(const PathReport& report, bool reverse) {
  const auto& sections = direction_of(report, reverse).sections;
  std::unordered_map<std::uint64_t, std::size_t> sharing;
  for (const FlowKey& key : report.flows) ++sharing[ports_of(key, reverse)];
  std::vector<FlowLosses> losses(report.flows.size(), FlowLosses(sections.size()));
  for (std::size_t at = 0; at < sections.size(); ++at) {
    const Section& section = sections[at];
    if (!section.lost || *section.lost != section.lost_packets.size()) continue;
    std::unordered_map<std::uint64_t, std::uint64_t> lost;
    for (const auto& packet : section.lost_packets)
      ++lost[ports_of(packet.protocol, packet.sport, packet.dport)];
    for (std::size_t flow = 0; flow < report.flows.size(); ++flow) {
      const std::uint64_t ports = ports_of(report.flows[flow], reverse);
      if (sharing[ports] > 1) continue;
      const auto found = lost.find(ports);
      losses[flow][at] = found == lost.end() ? 0 : found->second;
    }
  }
  return losses;
}

json to_json(const TopView& view) {
  const PathReport& report = view.report;
  const std::vector<FlowLosses> losses[2] = {losses_of(report, false), losses_of(report, true)};
  json flows = json::array();
  for (const TopRow& row : view.rows) {
    const FlowKey& key = report.flows[row.flow];
    json flow = {{"protocol", key.protocol},
                 {"a", key.a.to_string()},
                 {"b", key.b.to_string()},
                 {"port_a", key.port_a},
                 {"port_b", key.port_b}};
    for (const bool reverse : {false, true}) {
      json one = counts_json(counts_of(direction_of(report, reverse).flows, row.flow));
      one["interval"] = pace_json(row.pace[reverse]);
      one["lost"] = losses_json(losses[reverse][row.flow]);
      flow[reverse ? "reverse" : "forward"] = std::move(one);
    }
    flows.push_back(std::move(flow));
  }
  json document = {{"schema", "fieldline.top/1"},
                   {"run", report.run.hex()},
                   {"captures", report.captures},
                   {"first_ns", report.first_ns},
                   {"last_ns", report.last_ns},
                   {"interval_ns", view.interval_ns ? json(view.interval_ns) : json()},
                   {"ended", view.ended},
                   {"flows", std::move(flows)},
                   {"complete", report.complete},
                   {"incomplete", report.incomplete}};
  for (const bool reverse : {false, true}) {
    const Direction& direction = direction_of(report, reverse);
    json sections = json::array(), points = json::array();
    for (const auto& point : direction.points) points.push_back(point.name);
    const auto point = [&](int at) {
      return at < 0 ? json() : points[static_cast<std::size_t>(at)];
    };
    for (const Section& section : direction.sections) {
      sections.push_back({{"from", point(section.upstream)},
                          {"to", point(section.downstream)},
                          {"lost", section.lost ? json(*section.lost) : json()}});
    }
    document[reverse ? "reverse" : "forward"] = {
        {"at", points.empty() ? json() : points[0]},
        {"sections", std::move(sections)},
        {"other_packets", direction.other_flows.packets},
        {"other_payload_bytes", direction.other_flows.payload_bytes}};
  }
  return document;
}

std::string to_table(const TopView& view) {
  const PathReport& report = view.report;
  const std::vector<FlowLosses> losses[2] = {losses_of(report, false), losses_of(report, true)};
  std::vector<std::vector<std::string>> rows;
  for (std::size_t at = 0; at < view.rows.size(); ++at) {
    const TopRow& row = view.rows[at];
    for (const bool reverse : {false, true}) {
      const Pace& pace = row.pace[reverse];
      const bool data = pace.data_packets > 0;
      rows.push_back({reverse ? "" : std::to_string(at + 1),
                      sender_text(report.flows[row.flow], reverse), rate_text(pace.bits_per_s),
                      short_count(pace.packets), data ? short_count(pace.again_packets) : "-",
                      data ? fmt::format("{:.3g}", 100.0 * static_cast<double>(pace.again_packets) /
                                                       static_cast<double>(pace.data_packets))
                           : "-",
                      pace.rtt_samples ? fmt::format("{:.3g}", pace.rtt_ns / 1e6) : "-",
                      losses_text(losses[reverse][row.flow])});
    }
  }
  std::string text = headline(view);
  if (rows.empty()) return text + "no packet in this time\n";
  text += format_table({{"#", Align::right},
                        {"SENDER"},
                        {"RATE", Align::right},
                        {"PKTS", Align::right},
                        {"AGAIN", Align::right},
                        {"%", Align::right},
                        {"RTTms", Align::right},
                        {"LOST"}},
                       rows);
  text += sections_text(report);
  const std::uint64_t others =
      report.forward.other_flows.packets + report.reverse.other_flows.packets;
  if (others) text += grouped(others) + " packets are of flows or parts that are not listed\n";
  return text;
}

}  // namespace fieldline::cli
