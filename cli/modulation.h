// SPDX-License-Identifier: Apache-2.0
// `fieldline modulation`: what the stack and the path made of what the application wrote.
#pragma once

#include "cli/analyze.h"

namespace fieldline::cli {

struct ModulationOptions {
  AnalyzeOptions input;
  bool json = false;
};

int modulation(ModulationOptions options, const Result<UserSettings>& settings);

}  // namespace fieldline::cli
