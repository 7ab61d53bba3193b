// SPDX-License-Identifier: Apache-2.0
// What sensors have said about the runs of one ping. Pure: fed with reports, asked for states.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "cli/run_watch.h"

namespace fieldline::cli {

struct SensorState {
  enum class Phase { silent, active, ended, refused };
  Phase phase = Phase::silent;
  bool started = false;       // it did activate, whatever came later
  bool final_counts = false;  // its last word on the run
  // Sessions of the stream whose counts came, and those that a later one goes on from: their rest
  // may come behind it.
  std::set<std::string> counted, continued;
  std::string reason, detail, rule, principal;
  std::vector<std::string> clamped;
  std::size_t pairs = 0;  // port pairs that it activated
  bool is_host = false;   // it sees no packets, but records events
  std::uint64_t events = 0;

  std::string to_string() const;  // "ok", "clamped duration 2 h to 10 min", "refused: ..."
};

struct RunBoard {
  std::map<std::string, SensorState> sensors;
  bool watched = false;   // an archive tells us
  bool finished = false;  // nothing more will come
};

class Board {
 public:
  void add_run(const RunId& run, bool watched);
  // The sensor that this event activated for the first time in its run, or "".
  std::string take(const WatchEvent& event);

  const RunBoard& run(const RunId& id) const { return runs_.at(id); }
  std::string domain_of(const std::string& sensor) const;
  // Sensors that started every one of these runs.
  std::set<std::string> confirmed(const std::vector<RunId>& runs) const;
  std::set<std::string> activated() const;  // in any run
  std::set<std::string> refused() const;    // in a run that they never started
  // Every sensor that started has given final counts in every watched run; or its run's watch has
  // ended.
  bool all_final() const;
  std::vector<std::string> without_final_counts() const;  // "s1 (run 7f3a9c)"

 private:
  std::string take_activation(RunBoard& run, const nlohmann::json& document);
  static void take_final_counts(SensorState& state, const std::string& session);

  std::map<RunId, RunBoard> runs_;
  std::map<std::string, std::string> domains_;
};

}  // namespace fieldline::cli
