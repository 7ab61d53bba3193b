// SPDX-License-Identifier: Apache-2.0
#include "cli/live_table.h"

#include <netinet/in.h>

#include <algorithm>
#include <map>

#include "cli/text.h"

namespace fieldline::cli {

namespace {

using analysis::Direction;
using analysis::Section;

const Section* section_before(const Direction& direction, std::size_t point) {
  for (const auto& section : direction.sections) {
    if (section.downstream == static_cast<int>(point)) return &section;
  }
  return nullptr;
}

std::map<std::string, std::uint64_t> seen_by_name(const Direction& direction) {
  std::map<std::string, std::uint64_t> seen;
  for (const auto& point : direction.points) seen[point.name] += point.seen;
  return seen;
}

// Before the first sensor there is nothing to compare with: only holes in the sequence tell of a
// loss.
std::string lost_text(const Section* section) {
  if (section == nullptr || !section->lost) return "-";
  if (section->upstream < 0 && *section->lost == 0) return "-";
  return grouped(*section->lost);
}

std::string delay_text(const Section* section, std::int64_t analysis::Delay::*member) {
  if (section == nullptr || section->upstream < 0 || section->delay.samples == 0) return "-";
  return milliseconds(section->delay.*member);
}

class Rows {
 public:
  Rows(const RunView& view, const Board& board) : view_(view), board_(board) {
    forward_ = seen_by_name(view.report.forward);
    reverse_ = seen_by_name(view.report.reverse);
  }

  std::vector<std::vector<std::string>> make() {
    const auto& forward = view_.report.forward.points;
    for (std::size_t i = 0; i < forward.size(); ++i) {
      add_point(forward[i], section_before(view_.report.forward, i));
    }
    // Seen on the return path alone; there, the far end comes first.
    const auto& reverse = view_.report.reverse.points;
    for (auto point = reverse.rbegin(); point != reverse.rend(); ++point) {
      if (!forward_.contains(point->name)) add_point(*point, nullptr);
    }
    for (const auto& [name, state] : view_.board.sensors) {
      if (!drawn_.contains(name)) add_silent(name, state);
    }
    return std::move(rows_);
  }

 private:
  void add_point(const analysis::Point& point, const Section* before) {
    std::string sensor = printable(point.sensor);  // as the board names it
    auto known = view_.board.sensors.find(sensor);
    SensorState state = known == view_.board.sensors.end() ? SensorState{} : known->second;
    drawn_.insert(sensor);
    auto ahead = forward_.find(point.name), back = reverse_.find(point.name);
    bool forward = ahead != forward_.end() && ahead->second > 0;
    bool reverse = back != reverse_.end() && back->second > 0;
    std::string text = state.to_string();
    if (state.started && forward && !reverse && any_reverse())
      text += ", data only, no answers here";
    if (state.started && reverse && !forward) text += ", answers only, no data here";
    rows_.push_back({number(), printable(point.name), domain(sensor, printable(point.domain)),
                     flows(state), short_count(forward ? ahead->second : 0), lost_text(before),
                     short_count(reverse ? back->second : 0),
                     delay_text(before, &analysis::Delay::p50_ns),
                     delay_text(before, &analysis::Delay::p99_ns), text});
  }

  void add_silent(const std::string& name, const SensorState& state) {
    std::string text = state.to_string();
    if (state.phase == SensorState::Phase::refused) {
      rows_.push_back({number(), name, domain(name, ""), text});
      return;
    }
    const std::string none = state.is_host ? "-" : "0";  // a host counts no packets
    if (state.is_host) text += ", " + short_count(state.events) + " events of its sockets";
    rows_.push_back(
        {number(), name, domain(name, ""), flows(state), none, "-", none, "-", "-", text});
  }

  std::string number() const { return std::to_string(rows_.size() + 1); }
  std::string domain(const std::string& sensor, const std::string& told) const {
    std::string name = told.empty() ? board_.domain_of(sensor) : told;
    return name.empty() ? "-" : name;
  }
  std::string flows(const SensorState& state) const {
    return std::to_string(state.pairs) + "/" + std::to_string(view_.pairs);
  }
  bool any_reverse() const {
    return std::any_of(reverse_.begin(), reverse_.end(),
                       [](const auto& seen) { return seen.second > 0; });
  }

  const RunView& view_;
  const Board& board_;
  std::map<std::string, std::uint64_t> forward_, reverse_;
  std::set<std::string> drawn_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace

std::string render_run(const RunView& view, const Board& board) {
  std::vector<Column> columns = {{"#"},
                                 {"SENSOR"},
                                 {"DOMAIN"},
                                 {"FLOWS"},
                                 {"->PKTS", Align::right},
                                 {"LOST", Align::right},
                                 {view.protocol == IPPROTO_TCP ? "<-ACKS" : "<-PKTS", Align::right},
                                 {"+p50ms", Align::right},
                                 {"+p99ms", Align::right},
                                 {"STATE"}};
  auto rows = Rows(view, board).make();
  if (rows.empty()) {
    return view.board.watched ? "no sensor has answered yet\n"
                              : "not watched: no archive tells what sensors saw\n";
  }
  return format_table(columns, rows);
}

std::string LiveScreen::erased() {
  const std::size_t lines = std::exchange(lines_, 0);
  return lines > 0 ? "\033[" + std::to_string(lines) + "A\033[J" : "";
}

Result<void> LiveScreen::draw(const std::string& text) {
  auto size = terminal_size(fd_);
  std::string out = erased();
  for (std::size_t at = 0; at < text.size() && lines_ + 1 < size.rows; ++lines_) {
    auto end = std::min(text.find('\n', at), text.size());
    out += clipped(std::string_view(text).substr(at, end - at), size.columns) + "\n";
    at = end + 1;
  }
  return write_all(fd_, out);
}

}  // namespace fieldline::cli
