// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "cli/settings.h"

namespace fieldline::cli {

struct StatusOptions {
  bool json = false;
  bool all = false;  // counters that are zero too
};
int status(const StatusOptions& options, const UserSettings& settings);

std::string render_status(const nlohmann::json& answer, bool all);

}  // namespace fieldline::cli
