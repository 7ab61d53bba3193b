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

// Our own failure: the command was not started, or how it ended is not known; as env, timeout and
// docker have it.
constexpr int kNotRun = 125;

struct RunCommandOptions {
  std::vector<std::string> command;
  std::uint64_t interval_ns = 100'000'000;  // judged by itself
  RunTerms terms;
  std::string output;  // a file; else standard error
  bool json = false;
};

// The command's exit status, 126 or 127 if it cannot be started, or kNotRun.
int run_command(const RunCommandOptions& options, const Result<UserSettings>& settings);

}  // namespace fieldline::cli
