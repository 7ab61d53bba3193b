// SPDX-License-Identifier: Apache-2.0
#include "cli/top_view.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/flow_spec.h"
#include "cli/text.h"

namespace fieldline::cli {
namespace {

using analysis::Direction;
using analysis::FlowKey;
using analysis::PathReport;
using analysis::Point;
using analysis::Section;

// An estimate is marked as one.
std::string about(const std::string& number, bool estimated) {
  return (estimated ? "~" : "") + number;
}

std::string losses_text(const FlowLosses& losses, const Direction& direction) {
  std::string text;
  for (std::size_t at = 0; at < losses.size(); ++at) {
    const bool estimated = sample_n_of(direction, direction.sections[at]) > 1;
    text += text.empty() ? "" : "/";
    text += losses[at] ? about(short_count(*losses[at]), estimated) : "?";
  }
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
  const bool counted = is_counted(report);
  double bits[2] = {0, 0};
  for (const TopRow& row : view.rows) {
    for (const std::size_t way : {0u, 1u}) bits[way] += row.pace[way].bits_per_s;
  }
  for (const PointRow& row : view.points)
    bits[row.reverse] = std::max(bits[row.reverse], row.bits_per_s);
  const std::string what = report.captures.empty()
                               ? "run " + report.run.brief()
                               : std::to_string(report.captures.size()) +
                                     (report.captures.size() == 1 ? " capture" : " captures");
  const std::string shown =
      counted ? "counters alone"
              : fmt::format("{} flow{}, {} shown", report.flows.size(),
                            report.flows.size() == 1 ? "" : "s", view.rows.size());
  const auto rate = [&](bool reverse) {
    return about(rate_text(bits[reverse]), sample_n_of(direction_of(report, reverse)) > 1);
  };
  return fmt::format("{}  {}  {}  -> {}  <- {}{}\n", what,
                     short_duration(report.last_ns - report.first_ns), shown, rate(false),
                     rate(true), view.ended ? "" : "  (on)");
}

// What retransmissions and round trips need is every packet.
std::vector<std::string> cells_of(const TopView& view, std::size_t at, bool reverse,
                                  const std::vector<FlowLosses>& losses) {
  const TopRow& row = view.rows[at];
  const Direction& direction = direction_of(view.report, reverse);
  const Pace& pace = row.pace[reverse];
  const bool data = pace.data_packets > 0, sampled = sample_n_of(direction) > 1;
  const std::string none = sampled ? "?" : "-";
  const double share = 100.0 * static_cast<double>(pace.again_packets) /
                       static_cast<double>(std::max<std::uint64_t>(pace.data_packets, 1));
  return {reverse ? "" : std::to_string(at + 1),
          sender_text(view.report.flows[row.flow], reverse),
          about(rate_text(pace.bits_per_s), sampled),
          about(short_count(pace.packets), sampled),
          data && !sampled ? short_count(pace.again_packets) : none,
          data && !sampled ? fmt::format("{:.3g}", share) : none,
          pace.rtt_samples ? fmt::format("{:.3g}", pace.rtt_ns / 1e6) : none,
          losses_text(losses[row.flow], direction)};
}

std::string flows_table(const TopView& view) {
  const std::vector<FlowLosses> losses[2] = {losses_of(view.report, false),
                                             losses_of(view.report, true)};
  std::vector<std::vector<std::string>> rows;
  for (std::size_t at = 0; at < view.rows.size(); ++at) {
    for (const bool reverse : {false, true})
      rows.push_back(cells_of(view, at, reverse, losses[reverse]));
  }
  return format_table({{"#", Align::right},
                       {"SENDER"},
                       {"RATE", Align::right},
                       {"PKTS", Align::right},
                       {"AGAIN", Align::right},
                       {"%", Align::right},
                       {"RTTms", Align::right},
                       {"LOST"}},
                      rows) +
         sections_text(view.report);
}

// A row says what was lost in front of its point.
std::string points_table(const TopView& view) {
  std::vector<std::vector<std::string>> rows;
  for (const PointRow& row : view.points) {
    const Direction& direction = direction_of(view.report, row.reverse);
    const Point& point = direction.points[row.point];
    const auto& lost = direction.sections[row.point].lost;
    rows.push_back({row.reverse ? "<-" : "->", printable(point.name), rate_text(row.bits_per_s),
                    short_count(row.packets), short_count(point.seen),
                    row.point == 0 ? "-"
                    : lost         ? short_count(*lost)
                                   : "?"});
  }
  return format_table({{""},
                       {"POINT"},
                       {"RATE", Align::right},
                       {"PKTS", Align::right},
                       {"SO FAR", Align::right},
                       {"LOST", Align::right}},
                      rows);
}

std::string estimate_text(const PathReport& report) {
  std::uint64_t n = 1;
  for (const bool reverse : {false, true}) {
    const Direction& direction = direction_of(report, reverse);
    for (const Point& point : direction.points) n = std::max<std::uint64_t>(n, point.sample_n);
  }
  if (n == 1) return "";
  return fmt::format("~ estimated from a sample, of one in {} packets; ? needs every packet\n",
                     grouped(n));
}

}  // namespace

std::string to_table(const TopView& view) {
  const PathReport& report = view.report;
  std::string text = headline(view);
  if (!view.points.empty()) {
    text += points_table(view);
  } else if (view.rows.empty()) {
    text += "no packet in this time\n";
  } else {
    text += flows_table(view);
  }
  text += estimate_text(report);
  std::uint64_t others = 0;
  for (const bool reverse : {false, true}) {
    const Direction& direction = direction_of(report, reverse);
    others += direction.other_flows.packets * sample_n_of(direction);
  }
  if (others) text += grouped(others) + " packets are of flows or parts that are not listed\n";
  for (const Silent& one : view.silent) text += one.text + "\n";
  return text;
}

}  // namespace fieldline::cli
