// SPDX-License-Identifier: Apache-2.0
// The commands that are views of the analysis: what of them is typed, and which is run.
#pragma once

#include <optional>
#include <string>

#include "cli/coverage.h"
#include "cli/diff.h"
#include "cli/modulation.h"
#include "cli/owd.h"
#include "cli/path.h"
#include "cli/retrans.h"
#include "cli/settings.h"
#include "cli/top.h"
#include "cli/why.h"

namespace CLI {
class App;
}

namespace fieldline::cli {

class AnalysisCommands {
 public:
  void declare(CLI::App& app);
  // The exit code of the one that was given; none: it was another command.
  std::optional<int> run(CLI::App& app, const Result<UserSettings>& settings);

 private:
  void declare_path(CLI::App& app);
  void declare_time(CLI::App& app);
  Result<void> check_top();

  PathOptions path_;
  RetransOptions retrans_;
  OwdOptions owd_;
  CoverageOptions coverage_;
  WhyOptions why_;
  TopOptions top_;
  ModulationOptions modulation_;
  DiffOptions diff_;
  std::string top_interval_ = "1s";
};

}  // namespace fieldline::cli
