// SPDX-License-Identifier: Apache-2.0
// The commands that ask an archive for what it holds: what of them is typed, and which is run.
#pragma once

#include <optional>
#include <string>

#include "cli/event_list.h"
#include "cli/query.h"
#include "cli/runs.h"
#include "cli/settings.h"
#include "cli/status.h"

namespace CLI {
class App;
}

namespace fieldline::cli {

class ArchiveCommands {
 public:
  void declare(CLI::App& app);
  // The exit code of the one that was given; none: it was another command.
  std::optional<int> run(CLI::App& app, const Result<UserSettings>& settings);

 private:
  void declare_runs(CLI::App& app);
  void declare_query(CLI::App& app);
  void declare_events(CLI::App& app);
  void declare_tending(CLI::App& app);
  Result<void> check_query();

  RunsOptions runs_;
  QueryOptions query_;
  EventsOptions events_;
  StatusOptions status_;
  std::string flow_, from_, to_;
  bool reindex_json_ = false;
};

}  // namespace fieldline::cli
