// SPDX-License-Identifier: Apache-2.0
// What path, retrans and the like begin with: a run of the archive, or files, fed to the analysis.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "analysis/path.h"
#include "cli/settings.h"

namespace fieldline::cli {

struct AnalyzeOptions {
  std::vector<std::string> what;  // a run, or capture files
  std::string hosts;              // A,B: whose packets of captures
  bool events = false;            // of a run: the hosts' event records as well
  analysis::Limits limits{};      // of captures, what is told by time alone
};

bool of_files(const AnalyzeOptions& options);

// The analyzer with all that was asked for in it, or the exit code of what was complained about.
// settings: read only if an archive is asked.
using Analysis = boost::system::result<std::unique_ptr<analysis::PathAnalyzer>, int>;
Analysis analyze(const AnalyzeOptions& options, const Result<UserSettings>& settings);

}  // namespace fieldline::cli
