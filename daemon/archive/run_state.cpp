// SPDX-License-Identifier: Apache-2.0
// What the index's reports say of one run, to one reader.
#include <algorithm>
#include <set>

#include "archive/index.h"
#include "proto/frame.h"

namespace fieldline::archive {

namespace {

// One session's part in a run. Item numbers order its reports; a run that ended may start again.
struct SessionState {
  std::uint64_t started = 0, ended = 0, counted = 0;  // item numbers; 0: never
  std::uint64_t ended_ns = 0;

  bool was_on() const { return started != 0; }
  bool is_over() const { return std::max(ended, counted) > started; }
  bool is_counted() const { return counted > started; }
};

// Whose a session's items are: each "started" report hands what follows it to its principal.
class Owners {
 public:
  void started(std::uint64_t sequence, bool is_reader) {
    if (changes_.empty() || changes_.back().second != is_reader)
      changes_.emplace_back(sequence, is_reader);
  }
  bool reader_has_now() const { return !changes_.empty() && changes_.back().second; }
  bool reader_has_any(std::uint64_t first, std::uint64_t last) const {
    for (std::size_t i = 0; i < changes_.size(); ++i) {
      bool begins_in_time = changes_[i].first <= last;
      bool ends_in_time = i + 1 < changes_.size() && changes_[i + 1].first <= first;
      if (changes_[i].second && begins_in_time && !ends_in_time) return true;
    }
    return false;
  }

 private:
  std::vector<std::pair<std::uint64_t, bool>> changes_;  // item number, to the reader?
};

struct RunState {
  const Principal& reader;
  RunSummary summary;
  std::map<RunId, SessionState> sessions;
  std::map<RunId, Owners> owners;
  std::set<RunId> continued_in;          // sessions that must have counts, whether they came or not
  std::set<std::string> granted, named;  // principals: in "started" reports; in any of them
  bool grant_of_start = false;

  // True: it is the reader's, and the session was on.
  bool activation(const RunId& id, std::uint64_t sequence, const nlohmann::json& report) {
    const std::string event = string_of(report, "event");
    const std::string principal = string_of(report, "principal");
    const std::uint64_t at_ns = number_of(report, "at_ns");
    bool started = event == "started";
    bool is_reader = !reader || principal == *reader;
    (started ? granted : named).insert(principal);
    if (started) owners[id].started(sequence, is_reader);
    if (!is_reader) return false;
    SessionState& session = sessions[id];
    if (started) {
      session.started = sequence;
      if (summary.started_ns == 0 || at_ns < summary.started_ns) summary.started_ns = at_ns;
    }
    if (event == "ended") {
      session.ended = sequence;
      session.ended_ns = at_ns;
    }
    // What a sensor granted is told rather than what another refused.
    if ((summary.grant.is_null() || (started && !grant_of_start)) && report.contains("grant")) {
      summary.grant = report["grant"];
      summary.principal = principal;
      grant_of_start = started;
    }
    return session.was_on();
  }

  void final_counts(const RunId& id, std::uint64_t sequence, const nlohmann::json& report) {
    if (reader && !owners[id].reader_has_now()) return;
    SessionState& session = sessions[id];
    session.counted = sequence;
    if (auto events = report.find("events"); events != report.end())
      summary.events += number_of(*events, "recorded");
    session.ended_ns = number_of(report, "at_ns");
    if (auto next = RunId::parse(string_of(report, "continued_in"))) continued_in.insert(*next);
  }

  // Each of its reports is an event: there are no copies of them. It is no evidence of the run's
  // begin or end.
  void application(const std::string& owner, std::uint64_t events) {
    named.insert(owner);
    summary.application_events += events;
    if (summary.principal.empty()) summary.principal = owner;
  }

  void conclude() {
    bool any = false, over = true, counted = true;
    for (const auto& [id, session] : sessions) {
      if (!session.was_on()) continue;
      any = true;
      over = over && session.is_over();
      counted = counted && session.is_counted();
    }
    for (const RunId& id : continued_in) counted = counted && sessions[id].is_counted();
    if (any && over) {
      for (const auto& [id, session] : sessions)
        summary.ended_ns = std::max(summary.ended_ns, session.ended_ns);
    }
    summary.complete = any && counted;
  }
};

}  // namespace

Result<RunSummary> Index::summary_of(const RunId& run, const Principal& reader) {
  auto standing = standing_of(run, reader);
  if (!standing) return standing.error();
  return std::move(standing->summary);
}

Result<RunStanding> Index::standing_of(const RunId& run, const Principal& reader) {
  RunState state{.reader = reader};
  RunSummary& summary = state.summary;
  summary.run = run;
  std::set<std::string> sensors;

  // Copies of a report in later chunks have its number.
  Statement rows(db_,
                 "SELECT r.session, r.sequence, r.type, r.json, s.name FROM reports r "
                 "LEFT JOIN sessions s ON s.session = r.session WHERE r.run=? "
                 "GROUP BY r.session, r.sequence ORDER BY r.session, r.sequence");
  rows.bind(run);
  for (;;) {
    auto more = rows.step();
    if (!more) return more.error();
    if (!*more) break;
    auto report = parse_object(view(rows.text(3)));
    if (rows.number(2) == FL_FRAME_ACTIVATION) {
      bool was_on = state.activation(rows.id(0), rows.number(1), report);
      if (was_on) sensors.insert(rows.text(4));
    } else {
      state.final_counts(rows.id(0), rows.number(1), report);
    }
  }
  RunStanding standing;
  auto parts = parts_of(run, reader);
  if (!parts) return parts.error();
  for (const auto& part : *parts) {
    if (!part.owner.empty()) state.application(part.owner, part.part.reports);
    if (part.part.records == 0) continue;
    const Owners& owners = state.owners[part.name.session];
    if (reader && !owners.reader_has_any(part.first_sequence, part.last_sequence)) continue;
    summary.records += part.part.records;
    sensors.insert(part.sensor);
  }
  state.conclude();
  summary.sensors.assign(sensors.begin(), sensors.end());
  for (const auto& [id, session] : state.sessions) {
    if (session.was_on() && !session.is_over()) standing.on.push_back(id);
  }
  standing.principals = std::move(state.granted.empty() ? state.named : state.granted);
  for (const auto& part : *parts) {
    if (part.owner.empty() || standing.principals.contains(part.owner))
      standing.newest_ns = std::max(standing.newest_ns, part.newest_ns);
  }
  standing.summary = std::move(summary);
  return standing;
}

Result<bool> Index::complete(const RunId& run, const Principal& reader) {
  auto summary = summary_of(run, reader);
  if (!summary) return summary.error();
  return summary->complete;
}

}  // namespace fieldline::archive
