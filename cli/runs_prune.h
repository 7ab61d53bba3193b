// SPDX-License-Identifier: Apache-2.0
// Deleting runs on request: what would go is shown first.
#pragma once

#include "cli/runs.h"

namespace fieldline::cli {

int prune(const RunsOptions& options, const UserSettings& settings);

// 0: each of them goes; denied: none, for want of rights; partial: some.
int prune_exit(const nlohmann::json& answer);
// What goes, or went, and what does not and why.
std::string render_prune(const nlohmann::json& answer);

}  // namespace fieldline::cli
