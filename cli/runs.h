// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/settings.h"

namespace fieldline::cli {

struct RunsOptions {
  unsigned limit = 20;
  bool json = false;
  std::string before;  // a run
  bool deleted = false, prune = false, yes = false;
  std::vector<std::string> which;  // to prune
  std::string older_than;
};
int runs(const RunsOptions& options, const UserSettings& settings);

// The archive's answer as a table, newest first.
std::string render_runs(const nlohmann::json& answer);
// What was deleted, when and why.
std::string render_deleted(const nlohmann::json& answer);

}  // namespace fieldline::cli
