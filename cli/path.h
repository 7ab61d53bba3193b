// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "analysis/path.h"
#include "cli/settings.h"

namespace fieldline::cli {

struct PathOptions {
  std::vector<std::string> what;  // a run, or capture files
  std::string hosts;              // A,B: whose packets of captures
  bool json = false, lost = false;
  bool check = false;  // incomplete evidence is an error
};

// settings: read only if an archive is asked.
int path(const PathOptions& options, const Result<UserSettings>& settings);

// One line a lost packet, in the order of time.
std::string render_lost(const analysis::PathReport& report);

}  // namespace fieldline::cli
