// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cli/analyze.h"

namespace fieldline::cli {

struct PathOptions {
  AnalyzeOptions input;
  bool json = false, lost = false;
  std::string plot;    // a file to draw to
  bool check = false;  // incomplete evidence is an error
};

int path(const PathOptions& options, const Result<UserSettings>& settings);

// One line a lost packet, in the order of time.
std::string render_lost(const analysis::PathReport& report);

}  // namespace fieldline::cli
