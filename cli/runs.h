// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include "cli/settings.h"

namespace fieldline::cli {

struct RunsOptions {
  unsigned limit = 20;
  bool json = false;
};
int runs(const RunsOptions& options, const UserSettings& settings);

// The archive's answer as a table, newest first.
std::string render_runs(const nlohmann::json& answer);

}  // namespace fieldline::cli
