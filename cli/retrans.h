// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cli/analyze.h"

namespace fieldline::cli {

struct RetransOptions {
  AnalyzeOptions input;
  bool json = false, all = false;
  std::string plot;    // a file to draw to
  bool check = false;  // incomplete evidence is an error
};
int retrans(const RetransOptions& options, const Result<UserSettings>& settings);

}  // namespace fieldline::cli
