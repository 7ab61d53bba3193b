// SPDX-License-Identifier: Apache-2.0
#include "analysis/coverage.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/text.h"

namespace fieldline::analysis {
namespace {

using nlohmann::json;
using Row = std::array<std::string, 9>;

std::string seconds(std::optional<std::uint64_t> time, std::uint64_t origin) {
  if (!time) return "?";
  return fmt::format("{:.1f}", (static_cast<double>(*time) - static_cast<double>(origin)) / 1e9);
}

std::string drops_of(const Point& point) {
  std::string text;
  for (const auto& [name, count] : point.dropped)
    text += (text.empty() ? "" : " ") + printable(name) + " " + grouped(count);
  if (!point.final_counts) text += text.empty() ? "?" : " or more";
  return text.empty() ? "0" : text;
}

Row row_of(const Cover& cover, const PathReport& report) {
  const Point& point = *cover.point;
  return {std::string(cover.reverse ? "<- " : "-> ") + printable(point.name),
          seconds(point.started_ns, report.first_ns) + " .. " +
              seconds(point.ended_ns, report.first_ns),
          grouped(point.seen),
          grouped(point.recorded),
          grouped(point.sampled_out),
          drops_of(point),
          grouped(cover.passed_unseen),
          grouped(point.late + point.unjoined),
          grouped(cover.undecided)};
}

json gaps_json(const std::vector<Gap>& gaps) {
  json list = json::array();
  const auto maybe = [](const auto& value) { return value ? json(*value) : json(); };
  for (const Gap& gap : gaps) {
    list.push_back({{"sensor", gap.sensor},
                    {"what", name_of(gap.what)},
                    {"cause", gap.cause},
                    {"from_ns", gap.from_ns},
                    {"until_ns", maybe(gap.until_ns)},
                    {"count", maybe(gap.count)}});
    if (gap.by_ns) list.back()["by_ns"] = *gap.by_ns;
  }
  return list;
}

}  // namespace

std::vector<Cover> coverage_of(const PathReport& report) {
  std::vector<Cover> covers;
  for (const Direction* direction : {&report.forward, &report.reverse}) {
    for (std::size_t at = 0; at < direction->points.size(); ++at) {
      Cover cover;
      cover.point = &direction->points[at];
      cover.reverse = direction == &report.reverse;
      for (const auto& [name, count] : cover.point->dropped) cover.dropped += count;
      cover.unaccounted = static_cast<std::int64_t>(cover.point->seen) -
                          static_cast<std::int64_t>(cover.point->recorded +
                                                    cover.point->sampled_out + cover.dropped);
      // A capture's own drops are not among the packets that it counted.
      if (!report.captures.empty()) cover.unaccounted = 0;
      const Section& in_front = direction->sections[at];
      cover.passed_unseen = in_front.upstream < 0 ? 0 : in_front.unseen;
      cover.undecided = in_front.upstream < 0 ? 0 : in_front.undecided;
      covers.push_back(cover);
    }
  }
  return covers;
}

json coverage_to_json(const PathReport& report) {
  json points = json::array();
  for (const Cover& cover : coverage_of(report)) {
    const Point& point = *cover.point;
    const auto time = [](const auto& value) { return value ? json(*value) : json(); };
    points.push_back({{"name", point.name},
                      {"direction", cover.reverse ? "reverse" : "forward"},
                      {"started_ns", time(point.started_ns)},
                      {"ended_ns", time(point.ended_ns)},
                      {"seen", point.seen},
                      {"recorded", point.recorded},
                      {"sampled_out", point.sampled_out},
                      {"sample_n", point.sample_n},
                      {"dropped", point.dropped},
                      {"unaccounted", cover.unaccounted},
                      {"passed_unseen", cover.passed_unseen},
                      {"late", point.late},
                      {"unjoined", point.unjoined},
                      {"undecided", cover.undecided},
                      {"final_counts", point.final_counts}});
  }
  return {{"schema", "fieldline.coverage/1"}, {"run", report.run.hex()},
          {"captures", report.captures},      {"first_ns", report.first_ns},
          {"last_ns", report.last_ns},        {"points", points},
          {"gaps", gaps_json(report.gaps)},   {"complete", report.complete},
          {"incomplete", report.incomplete},  {"ignored", report.ignored}};
}

std::string coverage_to_table(const PathReport& report, bool color) {
  std::vector<Row> rows{{"POINT", "LOOKED s", "SEEN", "RECORDED", "SAMPLED OUT", "DROPPED",
                         "PASSED UNSEEN", "UNJOINED", "UNDECIDED"}};
  for (const Cover& cover : coverage_of(report)) rows.push_back(row_of(cover, report));
  std::array<std::size_t, 9> widths{};
  for (const Row& row : rows) {
    for (std::size_t at = 0; at < row.size(); ++at)
      widths[at] = std::max(widths[at], row[at].size());
  }
  std::string text;
  for (const Row& row : rows) {
    text += fmt::format("{:<{}}", row[0], widths[0]);
    for (std::size_t at = 1; at < row.size(); ++at)
      text += fmt::format("  {:>{}}", row[at], widths[at]);
    text += "\n";
  }
  const std::string verdict = report.complete ? "EVIDENCE complete" : "EVIDENCE incomplete";
  text += color && !report.complete ? "\033[1;31m" + verdict + "\033[0m\n" : verdict + "\n";
  for (const auto& line : report.incomplete) text += "   incomplete: " + printable(line) + "\n";
  for (const Gap& gap : report.gaps) text += "   gap: " + printable(gap.to_string()) + "\n";
  for (const auto& [reason, count] : report.ignored)
    text += fmt::format("   left out: {} {}\n", grouped(count), printable(reason));
  return text;
}

}  // namespace fieldline::analysis
