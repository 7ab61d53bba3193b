// SPDX-License-Identifier: Apache-2.0
// docs/format/retrans.md, and the same for people.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "analysis/retrans.h"
#include "base/text.h"

namespace fieldline::analysis {
namespace {

using nlohmann::json;

const char* name_of(Cause cause) {
  switch (cause) {
    case Cause::lost:
      return "lost";
    case Cause::ack_lost:
      return "ack_lost";
    case Cause::never_left:
      return "never_left";
    case Cause::spurious:
      return "spurious";
    case Cause::undecided:
      return "undecided";
  }
  return "";
}

// Of which direction the verdict's section is one.
const Direction& direction_of(const RetransReport& report, const Verdict& verdict) {
  const bool reverse = verdict.reverse != (verdict.cause == Cause::ack_lost);
  return reverse ? report.path.reverse : report.path.forward;
}

std::string section_of(const RetransReport& report, const Verdict& verdict) {
  const Direction& direction = direction_of(report, verdict);
  return name_of(direction, direction.sections[verdict.section]);
}

std::string text_of(const RetransReport& report, const Verdict& verdict) {
  switch (verdict.cause) {
    case Cause::lost:
      return "lost " + section_of(report, verdict);
    case Cause::ack_lost:
      return "acknowledgement lost " + section_of(report, verdict);
    case Cause::never_left:
      return "never left the host";
    case Cause::spurious:
      return "spurious";
    case Cause::undecided:
      return "undecided";
  }
  return "";
}

const char* how_of(const Verdict& verdict) {
  switch (verdict.again.how) {
    case Again::How::fast:
      return "fast";
    case Again::How::timer:
      return "timer";
    case Again::How::probe:
      return "probe";
    case Again::How::unknown:
      return verdict.unseen_before ? "-" : "?";
  }
  return "";
}

std::map<std::string, std::uint64_t> totals_of(const RetransReport& report) {
  std::map<std::string, std::uint64_t> totals;
  for (const Verdict& verdict : report.verdicts) ++totals[text_of(report, verdict)];
  return totals;
}

// Whether a point saw the sending before: as far as the section that lost it.
std::string seen_at(const RetransReport& report, const Verdict& verdict, const std::string& name) {
  const Direction& direction = verdict.reverse ? report.path.reverse : report.path.forward;
  const auto found = std::find_if(direction.points.begin(), direction.points.end(),
                                  [&](const Point& point) { return point.name == name; });
  if (found == direction.points.end()) return "";
  const auto at = found - direction.points.begin();
  const bool stopped = verdict.cause == Cause::lost || verdict.cause == Cause::never_left;
  if (verdict.cause == Cause::undecided) return "?";
  return !stopped || static_cast<int>(at) <= direction.sections[verdict.section].upstream ? "seen"
                                                                                          : "-";
}

json to_json(const RetransReport& report, const Verdict& verdict) {
  const Again& again = verdict.again;
  const LostPacket& packet = again.packet;
  const bool placed = verdict.cause == Cause::lost || verdict.cause == Cause::ack_lost;
  json section;
  if (placed) {
    const Direction& direction = direction_of(report, verdict);
    const Section& of = direction.sections[verdict.section];
    const auto name = [&](int at) {
      return at < 0 ? json() : json(direction.points[static_cast<std::size_t>(at)].name);
    };
    section = {{"from", name(of.upstream)}, {"to", name(of.downstream)}};
  }
  const bool knows_how = again.how != Again::How::unknown;
  const bool has_before = !verdict.unseen_before && !again.acknowledged;
  return {{"timestamp_ns", packet.timestamp_ns},
          {"before_ns", has_before ? json(again.before.timestamp_ns) : json()},
          {"direction", verdict.reverse ? "reverse" : "forward"},
          {"sport", packet.sport},
          {"dport", packet.dport},
          {"sequence", packet.sequence},
          {"payload", packet.payload},
          {"how", knows_how ? json(how_of(verdict)) : json()},
          {"cause", name_of(verdict.cause)},
          {"section", section},
          {"why", verdict.why}};
}

std::string table_row(const std::vector<std::string>& row, const std::vector<std::size_t>& widths) {
  std::string line;
  for (std::size_t at = 0; at < row.size(); ++at) {
    const bool right = at == 0 || at == 3 || at == 4;
    line += right ? fmt::format("{:>{}}  ", row[at], widths[at])
                  : fmt::format("{:<{}}  ", row[at], widths[at]);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

std::string list_of(const RetransReport& report, std::size_t rows) {
  const auto& path = report.path;
  // Points in the order of the forward path; those of the way back alone behind them.
  std::vector<std::string> points;
  for (const Direction* direction : {&path.forward, &path.reverse}) {
    for (const Point& point : direction->points) {
      if (std::find(points.begin(), points.end(), point.name) == points.end())
        points.push_back(point.name);
    }
  }
  std::vector<std::vector<std::string>> table{{"T+s", "WAY", "PORTS", "SEQ", "LEN", "HOW"}};
  for (const std::string& name : points) table[0].push_back(printable(name));
  table[0].push_back("VERDICT");
  for (std::size_t i = 0; i < std::min(rows, report.verdicts.size()); ++i) {
    const Verdict& verdict = report.verdicts[i];
    const LostPacket& packet = verdict.again.packet;
    std::vector<std::string> row{
        fmt::format("{:.3f}", static_cast<double>(packet.timestamp_ns - path.first_ns) / 1e9),
        verdict.reverse ? "<-" : "->",
        fmt::format("{}-{}", packet.sport, packet.dport),
        std::to_string(packet.sequence),
        std::to_string(packet.payload),
        how_of(verdict)};
    for (const std::string& name : points) row.push_back(seen_at(report, verdict, name));
    row.push_back(text_of(report, verdict) +
                  (verdict.why.empty() ? "" : ": " + printable(verdict.why)));
    table.push_back(std::move(row));
  }
  std::vector<std::size_t> widths(table[0].size());
  for (const auto& row : table) {
    for (std::size_t at = 0; at < row.size(); ++at)
      widths[at] = std::max(widths[at], row[at].size());
  }
  std::string text;
  for (const auto& row : table) text += table_row(row, widths);
  if (report.verdicts.size() > rows)
    text += fmt::format("... and {} more: --all\n", grouped(report.verdicts.size() - rows));
  return text;
}

}  // namespace

json to_json(const RetransReport& report) {
  json list = json::array(), totals = json::object();
  for (const Verdict& verdict : report.verdicts) list.push_back(to_json(report, verdict));
  for (const Cause cause :
       {Cause::lost, Cause::ack_lost, Cause::never_left, Cause::spurious, Cause::undecided}) {
    totals[name_of(cause)] =
        std::count_if(report.verdicts.begin(), report.verdicts.end(),
                      [&](const Verdict& verdict) { return verdict.cause == cause; });
  }
  return {{"schema", "fieldline.retrans/1"},
          {"run", report.path.run.hex()},
          {"captures", report.path.captures},
          {"tcp", report.tcp},
          {"totals", totals},
          {"retransmissions", list},
          {"listed_all", report.listed_all},
          {"complete", report.path.complete},
          {"incomplete", report.path.incomplete}};
}

std::string to_table(const RetransReport& report, std::size_t rows, bool color) {
  if (!report.tcp) {
    return "no TCP data was seen: retransmissions of other protocols (QUIC, ESP, UDP) cannot be "
           "told "
           "from the outside; see `fieldline path` for loss and delay\n";
  }
  std::string text = grouped(report.verdicts.size()) + " retransmissions";
  for (const auto& [what, count] : totals_of(report)) text += ", " + grouped(count) + " " + what;
  if (color) text = "\033[1m" + text + "\033[0m";
  text += "\n";
  if (!report.verdicts.empty()) text += list_of(report, rows);
  if (!report.listed_all) text += "there were more than can be listed; ask for a shorter time\n";
  text += report.path.complete ? "EVIDENCE complete\n" : "EVIDENCE incomplete\n";
  for (const auto& line : report.path.incomplete)
    text += "   incomplete: " + printable(line) + "\n";
  return text;
}

}  // namespace fieldline::analysis
