// SPDX-License-Identifier: Apache-2.0
// `fieldline why`: what limits a flow.
#pragma once

#include <string>

#include "cli/analyze.h"
#include "cli/settings.h"

namespace fieldline::cli {

struct WhyOptions {
  AnalyzeOptions input;  // with `local`: flows of this host's sockets, or magnet-read's files
  bool local = false;    // without sensor and archive
  std::string duration = "10s", interval = "100ms";
  bool json = false;
};

int why(WhyOptions options, const Result<UserSettings>& settings);

}  // namespace fieldline::cli
