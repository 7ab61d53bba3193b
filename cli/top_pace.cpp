// SPDX-License-Identifier: Apache-2.0
#include "cli/top_pace.h"

#include <algorithm>
#include <unordered_map>

namespace fieldline::cli {

using analysis::Direction;
using analysis::FlowCounts;
using analysis::FlowKey;
using analysis::PathReport;
using analysis::Point;
using analysis::Section;

namespace {

// Another vantage point became the first one: its counts begin anew.
bool begins_anew(const FlowCounts& now, const FlowCounts& before) {
  return now.packets < before.packets || now.first_ns != before.first_ns;
}

double bits_per_s(std::uint64_t bytes, std::uint64_t over_ns) {
  return over_ns == 0 ? 0 : static_cast<double>(bytes) * 8e9 / static_cast<double>(over_ns);
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
  pace.bits_per_s =
      bits_per_s(pace.payload_bytes, interval_ns != 0 ? interval_ns : now.last_ns - now.first_ns);
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

}  // namespace

const Direction& direction_of(const PathReport& report, bool reverse) {
  return reverse ? report.reverse : report.forward;
}

bool is_counted(const PathReport& report) {
  const auto counted = [](const Direction& direction) {
    return !direction.sections.empty() && direction.sections.front().by_counters;
  };
  return counted(report.forward) || counted(report.reverse);
}

std::uint64_t sample_n_of(const Direction& direction) {
  return direction.points.empty() ? 1 : std::max(direction.points.front().sample_n, 1u);
}

std::uint64_t sample_n_of(const Direction& direction, const Section& section) {
  std::uint32_t n = 1;
  for (const int end : {section.upstream, section.downstream}) {
    if (end >= 0) n = std::max(n, direction.points[static_cast<std::size_t>(end)].sample_n);
  }
  return n;
}

FlowCounts counts_of(const Direction& direction, std::size_t flow) {
  if (flow >= direction.flows.size()) return {};
  FlowCounts counts = direction.flows[flow];
  const std::uint64_t n = sample_n_of(direction);
  counts.packets *= n;
  counts.data_packets *= n;
  counts.payload_bytes *= n;
  return counts;
}

void TopPacer::add_flows(TopView& view) {
  for (std::size_t flow = 0; flow < view.report.flows.size(); ++flow) {
    TopRow row{flow, {}};
    for (const bool reverse : {false, true}) {
      const FlowCounts now = counts_of(direction_of(view.report, reverse), flow);
      const bool known = view.interval_ns != 0 && flow < before_[reverse].size();
      row.pace[reverse] =
          pace_of(now, known ? before_[reverse][flow] : FlowCounts{}, view.interval_ns);
    }
    if (row.pace[0].packets + row.pace[1].packets > 0) view.rows.push_back(row);
  }
  const auto bits = [](const TopRow& row) {
    return row.pace[0].bits_per_s + row.pace[1].bits_per_s;
  };
  std::stable_sort(view.rows.begin(), view.rows.end(),
                   [&](const TopRow& a, const TopRow& b) { return bits(a) > bits(b); });
  for (const bool reverse : {false, true}) {
    const Direction& direction = direction_of(view.report, reverse);
    before_[reverse].clear();
    for (std::size_t flow = 0; flow < direction.flows.size(); ++flow)
      before_[reverse].push_back(counts_of(direction, flow));
  }
}

// A sensor that was restarted counts on from its first life's final counts, if it gave them; else
// anew.
void TopPacer::add_points(TopView& view) {
  for (const bool reverse : {false, true}) {
    const Direction& direction = direction_of(view.report, reverse);
    for (std::size_t at = 0; at < direction.points.size(); ++at) {
      const Point& point = direction.points[at];
      Counted& before = points_before_[reverse][point.name];
      const bool since =
          view.interval_ns != 0 && before.packets <= point.seen && before.bytes <= point.bytes;
      const Counted base = since ? before : Counted{};
      const std::uint64_t whole = point.started_ns && point.ended_ns > point.started_ns
                                      ? *point.ended_ns - *point.started_ns
                                      : 0;
      PointRow row{reverse, at, point.seen - base.packets, point.bytes - base.bytes, 0};
      row.bits_per_s = bits_per_s(row.bytes, view.interval_ns != 0 ? view.interval_ns : whole);
      view.points.push_back(row);
      before = {point.seen, point.bytes};
    }
  }
}

TopView TopPacer::view(PathReport report, std::uint64_t interval_ns, bool ended) {
  TopView view;
  view.interval_ns = begun_ ? interval_ns : 0;
  view.ended = ended;
  view.report = std::move(report);
  if (is_counted(view.report)) {
    add_points(view);
  } else {
    add_flows(view);
  }
  begun_ = true;
  return view;
}

// A lost packet is known by its ports: flows that share them (of a grant for many addresses) cannot
// be told apart, and of a list that is not whole nothing is said.
std::vector<FlowLosses> losses_of(const PathReport& report, bool reverse) {
  const Direction& direction = direction_of(report, reverse);
  const auto& sections = direction.sections;
  std::unordered_map<std::uint64_t, std::size_t> sharing;
  for (const FlowKey& key : report.flows) ++sharing[ports_of(key, reverse)];
  std::vector<FlowLosses> losses(report.flows.size(), FlowLosses(sections.size()));
  for (std::size_t at = 0; at < sections.size(); ++at) {
    const Section& section = sections[at];
    if (!section.lost || *section.lost != section.lost_packets.size()) continue;
    std::unordered_map<std::uint64_t, std::uint64_t> lost;
    const std::uint64_t stands_for = sample_n_of(direction, section);
    for (const auto& packet : section.lost_packets)
      lost[ports_of(packet.protocol, packet.sport, packet.dport)] += stands_for;
    for (std::size_t flow = 0; flow < report.flows.size(); ++flow) {
      const std::uint64_t ports = ports_of(report.flows[flow], reverse);
      if (sharing[ports] > 1) continue;
      const auto found = lost.find(ports);
      losses[flow][at] = found == lost.end() ? 0 : found->second;
    }
  }
  return losses;
}

}  // namespace fieldline::cli
