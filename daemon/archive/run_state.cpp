// SPDX-License-Identifier: Apache-2.0
// What the index's reports say of one run.
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

struct RunState {
  RunSummary summary;
  std::map<RunId, SessionState> sessions;
  bool grant_of_start = false;

  void activation(SessionState& session, std::uint64_t sequence, const nlohmann::json& report) {
    const std::string event = string_of(report, "event");
    const std::uint64_t at_ns = number_of(report, "at_ns");
    bool started = event == "started";
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
      summary.principal = string_of(report, "principal");
      grant_of_start = started;
    }
  }
};

}  // namespace

Result<RunSummary> Index::summary_of(const RunId& run) {
  RunState state;
  RunSummary& summary = state.summary;
  summary.run = run;

  std::set<std::string> sensors;
  auto parts = parts_of(run);
  if (!parts) return parts.error();
  for (const auto& part : *parts) {
    summary.records += part.part.records;
    if (part.part.records > 0) sensors.insert(part.sensor);
  }

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
    SessionState& session = state.sessions[rows.id(0)];
    auto report = parse_object(view(rows.text(3)));
    if (rows.number(2) == FL_FRAME_ACTIVATION) {
      state.activation(session, rows.number(1), report);
      if (session.was_on()) sensors.insert(rows.text(4));
    } else {
      session.counted = rows.number(1);
      session.ended_ns = number_of(report, "at_ns");
    }
  }

  bool any = false, over = true, counted = true;
  for (const auto& [id, session] : state.sessions) {
    if (!session.was_on()) continue;
    any = true;
    over = over && session.is_over();
    counted = counted && session.is_counted();
  }
  if (any && over) {
    for (const auto& [id, session] : state.sessions) {
      summary.ended_ns = std::max(summary.ended_ns, session.ended_ns);
    }
  }
  summary.complete = any && counted;
  summary.sensors.assign(sensors.begin(), sensors.end());
  return summary;
}

Result<bool> Index::complete(const RunId& run) {
  auto summary = summary_of(run);
  if (!summary) return summary.error();
  return summary->complete;
}

}  // namespace fieldline::archive
