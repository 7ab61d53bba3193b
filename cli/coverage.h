// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/analyze.h"

namespace fieldline::cli {

struct CoverageOptions {
  AnalyzeOptions input;
  bool json = false;
};
// kPartial where the evidence is not complete.
int coverage(const CoverageOptions& options, const Result<UserSettings>& settings);

}  // namespace fieldline::cli
