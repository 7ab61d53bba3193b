// SPDX-License-Identifier: Apache-2.0
#include "cli/board.h"

#include <algorithm>

#include "cli/fields.h"
#include "cli/text.h"

namespace fieldline::cli {

std::string SensorState::to_string() const {
  std::string text;
  switch (phase) {
    case Phase::silent:
      return "no report yet";
    case Phase::refused:
      text = "refused: " + reason + (detail.empty() ? "" : ": " + detail);
      return rule.empty() ? text : text + " (" + rule + ")";
    case Phase::ended:
      text = "ended" + (reason.empty() ? "" : " (" + reason + ")");
      break;
    case Phase::active:
      text = "ok";
      break;
  }
  for (const auto& clamp : clamped) text += ", clamped " + clamp;
  return text;
}

void Board::add_run(const RunId& run, bool watched) {
  runs_[run].watched = watched;
}

std::string Board::take_activation(RunBoard& run, const nlohmann::json& document) {
  std::string name = printable(string_at(document, "sensor")), event = string_at(document, "event");
  if (name.empty()) return {};
  SensorState& state = run.sensors[name];
  // A sensor that activated the run has not refused it because it refused one of its pulses.
  if (event == "refused" && state.started) return {};
  state.is_host = string_at(document, "role") == "host";
  state.reason = printable(string_at(document, "reason"));
  state.detail = printable(string_at(document, "detail"));
  state.rule = printable(string_at(document, "rule"));
  if (auto who = string_at(document, "principal"); !who.empty()) state.principal = printable(who);
  state.clamped.clear();
  if (const auto& clamped = member(document, "clamped"); clamped.is_array()) {
    for (const auto& one : clamped) {
      if (one.is_string()) state.clamped.push_back(printable(one.get<std::string>()));
    }
  }
  if (event == "refused") state.phase = SensorState::Phase::refused;
  if (event == "ended") state.phase = SensorState::Phase::ended;
  if (event != "started" && event != "renewed") return {};

  state.phase = SensorState::Phase::active;
  const auto& pairs = member(member(document, "grant"), "pairs");
  if (pairs.is_array()) state.pairs = pairs.size();
  bool first = !state.started;
  state.started = true;
  state.final_counts = false;  // it goes on: earlier counts were not its last
  state.counted.erase(string_at(document, "session"));
  if (auto before = string_at(document, "continues"); !before.empty())
    state.continued.insert(before);
  return first ? name : std::string();
}

void Board::take_final_counts(SensorState& state, const std::string& session) {
  state.counted.insert(session);
  const auto is_last = [&](const std::string& of) { return !state.continued.contains(of); };
  state.final_counts = std::any_of(state.counted.begin(), state.counted.end(), is_last) &&
                       std::includes(state.counted.begin(), state.counted.end(),
                                     state.continued.begin(), state.continued.end());
}

std::string Board::take(const WatchEvent& event) {
  auto found = runs_.find(event.run);
  if (found == runs_.end()) return {};
  RunBoard& run = found->second;
  std::string sensor = printable(string_at(event.document, "sensor"));
  switch (event.kind) {
    case WatchEvent::Kind::finished:
      run.finished = true;
      break;
    case WatchEvent::Kind::activation:
      return take_activation(run, event.document);
    case WatchEvent::Kind::configuration:
      if (!sensor.empty()) domains_[sensor] = printable(string_at(event.document, "domain"));
      break;
    case WatchEvent::Kind::counts:
      if (sensor.empty()) break;
      if (const auto& events = member(event.document, "events"); events.is_object())
        run.sensors[sensor].events = number_at(events, "recorded");
      if (true_at(event.document, "final"))
        take_final_counts(run.sensors[sensor], string_at(event.document, "session"));
      break;
  }
  return {};
}

std::string Board::domain_of(const std::string& sensor) const {
  auto found = domains_.find(sensor);
  return found == domains_.end() ? std::string() : found->second;
}

std::set<std::string> Board::confirmed(const std::vector<RunId>& runs) const {
  std::map<std::string, std::size_t> times;
  for (const auto& id : runs) {
    for (const auto& [name, state] : runs_.at(id).sensors) {
      if (state.started) ++times[name];
    }
  }
  std::set<std::string> names;
  for (const auto& [name, count] : times) {
    if (count == runs.size()) names.insert(name);
  }
  return names;
}

std::set<std::string> Board::activated() const {
  std::set<std::string> names;
  for (const auto& [id, run] : runs_) {
    for (const auto& [name, state] : run.sensors) {
      if (state.started) names.insert(name);
    }
  }
  return names;
}

std::set<std::string> Board::refused() const {
  std::set<std::string> names;
  for (const auto& [id, run] : runs_) {
    for (const auto& [name, state] : run.sensors) {
      if (!state.started && state.phase == SensorState::Phase::refused) names.insert(name);
    }
  }
  return names;
}

bool Board::all_final() const {
  return std::all_of(runs_.begin(), runs_.end(), [](const auto& entry) {
    const RunBoard& run = entry.second;
    if (!run.watched || run.finished) return true;
    return std::all_of(run.sensors.begin(), run.sensors.end(), [](const auto& sensor) {
      return !sensor.second.started || sensor.second.final_counts;
    });
  });
}

std::vector<std::string> Board::without_final_counts() const {
  std::vector<std::string> names;
  for (const auto& [id, run] : runs_) {
    for (const auto& [name, state] : run.sensors) {
      if (state.started && !state.final_counts) names.push_back(name + " (run " + id.brief() + ")");
    }
  }
  return names;
}

}  // namespace fieldline::cli
