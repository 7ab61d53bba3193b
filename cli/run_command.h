// SPDX-License-Identifier: Apache-2.0
// `fieldline run -- CMD...`: sensors and hosts record each socket of a command, and of what it
// starts, for as long as that runs; then why and path of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/run_maker.h"
#include "cli/settings.h"

namespace fieldline::cli {

// Our own failure, before the command was started; as env, timeout and nice have it.
constexpr int kNotRun = 125;

struct RunCommandOptions {
  std::vector<std::string> command;
  std::string duration = "12h", interval = "100ms";
  RunTerms terms;      // for_ns: from `duration`
  std::string output;  // a file; else standard error
  bool json = false;
};

// The command's exit status, 126 or 127 if it cannot be started, kUsage or kNotRun.
int run_command(RunCommandOptions options, const UserSettings& settings);

}  // namespace fieldline::cli
