// SPDX-License-Identifier: Apache-2.0
// The commands that switch sensors on: what of them is typed, and which is run.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/ping.h"
#include "cli/run_command.h"
#include "cli/run_flags.h"
#include "cli/settings.h"

namespace CLI {
class App;
}

namespace fieldline::cli {

class TriggerCommands {
 public:
  // The words of run's command are its own: what stands behind `--` is not parsed. How many words
  // are left.
  int cut_command(int argc, char** argv);
  void declare(CLI::App& app);
  // The exit code of the one that was given; none: it was another command.
  std::optional<int> run(CLI::App& app, const Result<UserSettings>& settings);

 private:
  void declare_ping(CLI::App& app);
  void declare_run(CLI::App& app);
  int run_ping(const Result<UserSettings>& settings);
  int run_run(const Result<UserSettings>& settings);

  PingOptions ping_;
  RunCommandOptions run_;
  RunFlags ping_flags_{"60s"}, run_flags_{"12h"};
  std::vector<std::string> flows_;
  std::string source_, interval_ = "100ms";
  bool v4_ = false, v6_ = false;
};

}  // namespace fieldline::cli
