// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "analysis/path.h"
#include "base/text.h"

namespace fieldline::analysis {
namespace {

using nlohmann::json;
using Row = std::vector<std::string>;

std::string text_in(const json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object[key].is_string()) return "";
  return printable(object[key].get<std::string>());
}

std::string flow_of(const json& grant) {
  const std::string a = text_in(grant, "host_a"), b = text_in(grant, "host_b");
  if (a.empty() || b.empty()) return "";
  std::string protocol = "ip";
  if (grant.contains("protocol") && grant["protocol"].is_number_integer()) {
    const auto number = grant["protocol"].get<std::uint64_t>();
    protocol = number == 6 ? "tcp" : number == 17 ? "udp" : "protocol " + std::to_string(number);
  }
  const json& pairs = grant.contains("pairs") ? grant["pairs"] : json();
  const auto port = [&](std::size_t side) -> std::string {
    if (!pairs.is_array() || pairs.size() != 1 || !pairs[0].is_array() || pairs[0].size() != 2)
      return "";
    const json& value = pairs[0][side];
    return value.is_number_integer() && value != 0 ? " port " + value.dump() : "";
  };
  std::string flow = fmt::format("{} {}{} - {}{}", protocol, a, port(0), b, port(1));
  if (pairs.is_array() && pairs.size() > 1) flow += fmt::format(", {} flows", pairs.size());
  return flow;
}

std::string header(const PathReport& report) {
  const double seconds = static_cast<double>(report.last_ns - report.first_ns) / 1e9;
  std::uint64_t bytes = 0;
  for (const Direction* direction : {&report.forward, &report.reverse}) {
    for (const Point& point : direction->points) bytes = std::max(bytes, point.bytes);
  }
  std::string line = report.captures.empty()
                         ? fmt::format("run {}  {:.1f} s", report.run.brief(), seconds)
                         : fmt::format("{} capture{}  {:.1f} s", report.captures.size(),
                                       report.captures.size() == 1 ? "" : "s", seconds);
  if (seconds > 0 && bytes > 0) line += ", " + rate_text(static_cast<double>(bytes) * 8 / seconds);
  if (report.principal.is_string()) line += ", " + printable(report.principal.get<std::string>());
  const std::string flow = flow_of(report.grant);
  if (!flow.empty()) line += ", " + flow;
  return line + "\n";
}

std::string milliseconds(std::int64_t ns) {
  const double ms = static_cast<double>(ns) / 1e6;
  return fmt::format("{:.{}f}", ms, ms > -10 && ms < 10 ? 3 : 2);
}

Row row_of(const Direction& direction, const Section& section) {
  const bool between = section.upstream >= 0 && section.downstream >= 0;
  const bool delays = section.delay.samples > 0;
  return {name_of(direction, section),
          grouped(section.packets),
          section.lost ? grouped(*section.lost) : "?",
          !section.by_counters &&
                  (between || section.reordered || (section.upstream < 0 && section.lost))
              ? grouped(section.reordered)
              : "-",
          delays ? milliseconds(section.delay.p50_ns) : "-",
          delays ? milliseconds(section.delay.p99_ns) : "-"};
}

struct Paint {
  bool color;
  std::string bold(const std::string& text) const {
    return color ? "\033[1m" + text + "\033[0m" : text;
  }
  std::string red(const std::string& text) const {
    return color ? "\033[1;31m" + text + "\033[0m" : text;
  }
};

std::string line_of(const Row& row, const std::vector<std::size_t>& widths) {
  std::string line = fmt::format("{:<{}}", row[0], widths[0]);
  for (std::size_t at = 1; at < row.size(); ++at)
    line += fmt::format("  {:>{}}", row[at], widths[at]);
  return line;
}

std::string in_lines(const std::vector<Row>& rows, const std::vector<bool>& red, Paint paint) {
  std::vector<std::size_t> widths(rows[0].size(), 0);
  widths[0] = 20;
  for (const Row& row : rows) {
    for (std::size_t at = 0; at < row.size(); ++at)
      widths[at] = std::max(widths[at], row[at].size());
  }
  std::string text;
  for (std::size_t at = 0; at < rows.size(); ++at) {
    const std::string line = line_of(rows[at], widths);
    text += (at == 0 ? paint.bold(line) : red[at] ? paint.red(line) : line) + "\n";
  }
  return text;
}

std::string megabits(double bps) {
  return fmt::format("{:.{}f}", bps / 1e6, bps < 1e8 ? 2 : 0);
}

std::string busy_of(const char* arrow, const Direction& direction, Paint paint) {
  std::vector<Row> rows{
      {std::string(arrow) + " BUSY Mb/s", "FLOW", "OTHERS", "p99 10ms", "PEAK", "OF LINK"}};
  for (const Point& point : direction.points) {
    if (!point.load) continue;
    const Load& load = *point.load;
    rows.push_back(
        {printable(point.name), megabits(load.own_bps()), megabits(load.others_bps()),
         megabits(load.p99_bps), megabits(load.peak_bps),
         load.link_bps ? fmt::format("{:.1f} %", 100 * load.others_bps() / *load.link_bps) : "?"});
  }
  return rows.size() == 1 ? "" : in_lines(rows, std::vector<bool>(rows.size(), false), paint);
}

std::string table_of(const char* arrow, const Direction& direction, Paint paint) {
  std::vector<Row> rows{
      {std::string(arrow) + " SECTION", "PKTS", "LOST", "REORD", "+p50ms", "+p99ms"}};
  std::vector<bool> losing{false};
  std::string notes;
  for (const Section& section : direction.sections) {
    rows.push_back(row_of(direction, section));
    losing.push_back(section.lost.value_or(0) > 0);
    const bool unknown = !section.lost;
    if (!section.note.empty()) {
      notes += fmt::format("   {} {}: {}\n", unknown ? "?" : "*", rows.back()[0],
                           printable(section.note));
    }
    if (section.duplicated) {
      notes += fmt::format("   * {}: {} duplicated\n", rows.back()[0], grouped(section.duplicated));
    }
  }
  return in_lines(rows, losing, paint) + notes + busy_of(arrow, direction, paint);
}

std::string refusals_of(const PathReport& report) {
  std::string text;
  for (const json& refusal : report.refusals) {
    text += text_in(refusal, "sensor") + " refused: ";
    const std::string rule = text_in(refusal, "rule"), reason = text_in(refusal, "reason"),
                      detail = text_in(refusal, "detail");
    if (!rule.empty()) text += rule + ", ";
    text += reason.empty() ? "no reason given" : reason;
    if (!detail.empty()) text += ": " + detail;
    text += "\n";
  }
  return text;
}

}  // namespace

std::string name_of(const Direction& direction, const Section& section) {
  const auto point = [&](int at) {
    return printable(direction.points[static_cast<std::size_t>(at)].name);
  };
  if (section.upstream < 0) return "before " + point(section.downstream);
  if (section.downstream < 0) return "after " + point(section.upstream);
  return point(section.upstream) + " - " + point(section.downstream);
}

std::string to_table(const PathReport& report, bool color) {
  const Paint paint{color};
  std::string text = paint.bold(header(report).substr(0, header(report).size() - 1)) + "\n";
  const std::pair<const char*, const Direction*> directions[] = {{"->", &report.forward},
                                                                 {"<-", &report.reverse}};
  for (const auto& [arrow, direction] : directions) {
    if (direction->points.empty()) {
      text += fmt::format("{} no packet was seen in this direction\n", arrow);
    } else {
      text += table_of(arrow, *direction, paint);
    }
  }
  text += refusals_of(report);
  text += report.complete ? "EVIDENCE complete\n" : paint.red("EVIDENCE incomplete") + "\n";
  for (const auto& line : report.incomplete) text += "   incomplete: " + printable(line) + "\n";
  return text;
}

}  // namespace fieldline::analysis
