// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cli/analyze.h"

namespace fieldline::cli {

struct OwdOptions {
  AnalyzeOptions input;
  bool json = false;
  std::string plot;  // a file to draw to
};
// kPartial where a delay is not known, or not all the time.
int owd(const OwdOptions& options, const Result<UserSettings>& settings);

}  // namespace fieldline::cli
