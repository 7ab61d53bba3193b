// SPDX-License-Identifier: Apache-2.0
// The commands that show packets while they come: what of them is typed, and which is run.
#pragma once

#include <optional>
#include <string>

#include "cli/extcap.h"
#include "cli/settings.h"
#include "cli/watch.h"

namespace CLI {
class App;
}

namespace fieldline::cli {

class LiveCommands {
 public:
  void declare(CLI::App& app);
  // The exit code of the one that was given; none: it was another command.
  std::optional<int> run(CLI::App& app, const Result<UserSettings>& settings);

 private:
  void declare_watch(CLI::App& app);
  void declare_extcap(CLI::App& app);
  int run_watch(const UserSettings& settings);

  WatchOptions watch_;
  ExtcapOptions extcap_;
  std::string flow_, wait_ = "500ms";
};

}  // namespace fieldline::cli
