// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analysis/owd.h"
#include "base/text.h"

namespace fieldline::analysis {
namespace {

using nlohmann::json;
using Row = std::vector<std::string>;

constexpr double kPpm = 1e6;

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + printable(name);
  return text;
}

std::string why_unknown(const ClockPair& pair) {
  const std::string a = printable(pair.a), b = printable(pair.b);
  if (pair.there.empty() || pair.back.empty()) {
    return fmt::format("no packet came from {} to {}: one direction bounds nothing",
                       pair.there.empty() ? a : b, pair.there.empty() ? b : a);
  }
  return "the clocks did not run evenly, or packets were joined wrongly";
}

json to_json(const OwdReport& report, const ClockPair& pair, const ClockFit& fit) {
  json text = {
      {"from_ns", pair.time_of(fit.begin)}, {"to_ns", pair.time_of(fit.end)}, {"known", fit.known}};
  if (!fit.known) return text;
  const auto recorded = recorded_error(report, pair, &fit);
  text["recorded_error_ns"] = recorded ? json(recorded->ns) : json();
  text["offset_ns"] = std::llround(pair.ahead_ns(fit, fit.begin));
  text["error_ns"] = std::llround(fit.error);
  text["drift_ppm"] = fit.drift * kPpm;
  text["drift_error_ppm"] = fit.drift_error * kPpm;
  text["drift_bounds_ppm"] = {fit.drift_low * kPpm, fit.drift_high * kPpm};
  text["round_trip_ns"] = std::llround(fit.round_trip);
  text["left_out"] = fit.strays;
  return text;
}

json to_json(const OwdReport& report, const ClockPair& pair) {
  const auto recorded = recorded_error(report, pair);
  json stretches = json::array(), steps = json::array(), set = json::array();
  for (const ClockFit& fit : pair.course.stretches) stretches.push_back(to_json(report, pair, fit));
  for (const ClockStep& step : pair.course.steps) {
    steps.push_back({{"from_ns", pair.time_of(step.from)},
                     {"to_ns", pair.time_of(step.to)},
                     {"by_ns", std::llround(step.by)},
                     {"error_ns", std::llround(step.error)},
                     {"certain", step.certain}});
  }
  for (const auto& [place, step] : recorded_steps(report, pair)) {
    set.push_back({{"place", place},
                   {"what", step.of_tai_offset ? "tai_offset" : "utc"},
                   {"from_ns", step.from_ns},
                   {"to_ns", step.to_ns},
                   {"by_ns", step.by_ns}});
  }
  return {{"a", pair.a},
          {"b", pair.b},
          {"there", pair.there},
          {"back", pair.back},
          {"clock", pair.by_b ? "b" : "a"},
          {"stretches", stretches},
          {"steps", steps},
          {"recorded_steps", set},
          {"recorded_course", recorded && recorded->course},
          {"recorded_error_ns", recorded ? json(recorded->ns) : json()},
          {"recorded_synchronized", recorded ? json(recorded->synchronized) : json()}};
}

const Direction& direction_of(const OwdReport& report, const OneWay& way) {
  return way.reverse ? report.path.reverse : report.path.forward;
}

const std::string& name_of(const OwdReport& report, const OneWay& way, bool upstream) {
  const Direction& direction = direction_of(report, way);
  const Section& section = direction.sections[way.section];
  return direction
      .points[static_cast<std::size_t>(upstream ? section.upstream : section.downstream)]
      .name;
}

json to_json(const OwdReport& report, const OneWay& way) {
  json delay;
  if (way.kind != OneWay::Kind::nothing) {
    delay = {{"samples", way.delay.samples},
             {"min_ns", way.delay.min_ns},
             {"p50_ns", way.delay.p50_ns},
             {"p99_ns", way.delay.p99_ns}};
  }
  const bool known = way.kind == OneWay::Kind::known;
  return {{"direction", way.reverse ? "reverse" : "forward"},
          {"from", name_of(report, way, true)},
          {"to", name_of(report, way, false)},
          {"delay", known ? delay : json()},
          {"variation", known ? json() : delay},
          {"error_ns", known ? json(way.error_ns) : json()},
          {"partly", way.partly},
          {"clocks", way.pair ? json(*way.pair) : json()}};
}

// With as many digits as tell something.
std::string time_text(double ns) {
  const double size = std::abs(ns);
  if (size >= 1e9) return fmt::format("{:+.6f} s", ns / 1e9);
  return size >= 1e6 ? fmt::format("{:+.3f} ms", ns / 1e6) : fmt::format("{:+.1f} us", ns / 1e3);
}

std::string error_text(double ns) {
  return time_text(ns).substr(1);
}

std::string milliseconds(std::int64_t ns) {
  return fmt::format("{:.3f}", static_cast<double>(ns) / 1e6);
}

std::string table_of(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths(rows[0].size(), 0);
  for (const Row& row : rows) {
    for (std::size_t at = 0; at < row.size(); ++at)
      widths[at] = std::max(widths[at], row[at].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line = fmt::format("{:<{}}", row[0], widths[0]);
    for (std::size_t at = 1; at < row.size(); ++at)
      line += fmt::format("  {:>{}}", row[at], widths[at]);
    text += line + "\n";
  }
  return text;
}

class Table {
 public:
  Table(const OwdReport& report, bool color) : report_(report), color_(color) {}

  std::string text() {
    if (!report_.clocks.empty()) text_ += clocks();
    for (const bool reverse : {false, true}) ways(reverse);
    if (report_.ways.empty()) {
      text_ +=
          "no two vantage points of one direction: there is no section to measure; give captures "
          "of two places, or a run that two sensors saw\n";
    }
    return text_ + bold(report_.whole ? "DELAYS   known" : "DELAYS   not all known") + "\n";
  }

 private:
  std::string bold(const std::string& text) const {
    return color_ ? "\033[1m" + text + "\033[0m" : text;
  }

  std::string at(const ClockPair& pair, double time) const {
    const long double first = static_cast<long double>(report_.path.first_ns);
    const auto offset = static_cast<double>(static_cast<long double>(pair.time_of(time)) - first);
    return fmt::format("T{:+.3f}", offset / 1e9);
  }

  std::string clocks() {
    std::vector<Row> rows{
        {"CLOCK", "AHEAD BY", "+-", "DRIFT ppm", "+-", "ROUND TRIP ms", "RECORDED"}};
    std::string notes;
    for (const ClockPair& pair : report_.clocks) {
      const std::string name = printable(pair.b) + " against " + printable(pair.a);
      const auto note = [&](const std::string& line) {
        notes += "   * " + name + ": " + line + "\n";
      };
      const auto& stretches = pair.course.stretches;
      if (stretches.empty()) rows.push_back({name, "?", "", "?", "", "", recorded_text(pair)});
      for (const ClockFit& fit : stretches) rows.push_back(row_of(pair, fit, name));
      if (stretches.empty()) note(why_unknown(pair));
      for (const ClockFit& fit : stretches) {
        if (!fit.known) {
          note(fmt::format("undecided from {} to {}: {}", at(pair, fit.begin), at(pair, fit.end),
                           why_unknown(pair)));
        }
        if (fit.strays) {
          note(grouped(fit.strays) +
               " packets came too soon to be true and were left out: joined with a copy");
        }
      }
      for (const ClockStep& step : pair.course.steps) note(text_of(pair, step));
      for (const RecordedStep& step : recorded_steps(report_, pair)) note(text_of(step));
      for (const auto* way : {&pair.there, &pair.back}) {
        if (way->size() > 1) {
          note(fmt::format("bounded by packets over {}", joined({way->begin(), way->end() - 1})));
        }
      }
    }
    return bold_first(table_of(rows)) + notes;
  }

  std::string recorded_text(const ClockPair& pair, const ClockFit* stretch = nullptr) const {
    const auto recorded = recorded_error(report_, pair, stretch);
    if (!recorded) return "not recorded";
    return error_text(static_cast<double>(recorded->ns)) +
           (recorded->synchronized ? "" : ", not synchronized");
  }

  Row row_of(const ClockPair& pair, const ClockFit& fit, const std::string& name) const {
    const bool many = pair.course.stretches.size() > 1;
    const std::string row = many ? name + ", " + at(pair, fit.begin) : name;
    if (!fit.known) return {row, "?", "", "?", "", "", recorded_text(pair)};
    const bool flat = fit.drift_error >= kDriftMax * 0.99;  // any drift will do
    return {row,
            time_text(pair.ahead_ns(fit, fit.begin)),
            error_text(fit.error),
            flat ? "?" : fmt::format("{:+.2f}", fit.drift * kPpm),
            flat ? "" : fmt::format("{:.2f}", fit.drift_error * kPpm),
            milliseconds(std::llround(fit.round_trip)),
            recorded_text(pair, &fit)};
  }

  std::string text_of(const ClockPair& pair, const ClockStep& step) const {
    const std::string what =
        fmt::format("stepped by {} (+- {}) between {} and {}", time_text(step.by),
                    error_text(step.error), at(pair, step.from), at(pair, step.to));
    return step.certain ? what
                        : what + ", unless one way became slower and the other faster by as much";
  }

  std::string text_of(const RecordedStep& set) const {
    const auto& [place, step] = set;
    const auto at = [&](std::uint64_t time_ns) {
      return fmt::format(
          "T{:+.3f}",
          static_cast<double>(static_cast<std::int64_t>(time_ns - report_.path.first_ns)) / 1e9);
    };
    return fmt::format("{} itself saw its {} set by {} between {} and {}", printable(place),
                       step.of_tai_offset ? "offset of TAI from UTC" : "clock",
                       time_text(static_cast<double>(step.by_ns)), at(step.from_ns),
                       at(step.to_ns));
  }

  std::string bold_first(const std::string& table) const {
    const auto end = table.find('\n');
    return bold(table.substr(0, end)) + table.substr(end);
  }

  void ways(bool reverse) {
    std::vector<Row> rows{{std::string(reverse ? "<-" : "->") + " SECTION", "PKTS", "MIN ms",
                           "P50 ms", "P99 ms", "+- ms"}};
    std::string notes;
    for (const OneWay& way : report_.ways) {
      if (way.reverse != reverse) continue;
      const std::string name =
          printable(name_of(report_, way, true)) + " - " + printable(name_of(report_, way, false));
      const auto note = [&](const std::string& line) {
        notes += "   * " + name + ": " + line + "\n";
      };
      const std::string packets = grouped(way.delay.samples);
      switch (way.kind) {
        case OneWay::Kind::known:
          rows.push_back({name, packets, milliseconds(way.delay.min_ns),
                          milliseconds(way.delay.p50_ns), milliseconds(way.delay.p99_ns),
                          way.pair ? milliseconds(way.error_ns) : "0"});
          if (way.partly) note("packets of undecided times are left out");
          break;
        case OneWay::Kind::variation:
          rows.push_back({name, packets, "?", "+" + milliseconds(way.delay.p50_ns),
                          "+" + milliseconds(way.delay.p99_ns), "?"});
          note("above the least delay, which is not known; what the clocks drift apart is in it");
          break;
        case OneWay::Kind::nothing:
          rows.push_back({name, "0", "?", "?", "?", "?"});
          note("no packet was seen at both");
      }
    }
    if (rows.size() > 1) text_ += bold_first(table_of(rows)) + notes;
  }

  const OwdReport& report_;
  bool color_;
  std::string text_;
};

}  // namespace

json to_json(const OwdReport& report) {
  json clocks = json::array(), ways = json::array();
  for (const ClockPair& pair : report.clocks) clocks.push_back(to_json(report, pair));
  for (const OneWay& way : report.ways) ways.push_back(to_json(report, way));
  return {{"schema", "fieldline.owd/1"},
          {"run", report.path.run.hex()},
          {"captures", report.path.captures},
          {"first_ns", report.path.first_ns},
          {"last_ns", report.path.last_ns},
          {"clocks", clocks},
          {"sections", ways},
          {"whole", report.whole},
          {"complete", report.path.complete},
          {"incomplete", report.path.incomplete}};
}

std::string to_table(const OwdReport& report, bool color) {
  return Table(report, color).text();
}

}  // namespace fieldline::analysis
