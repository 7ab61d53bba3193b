// SPDX-License-Identifier: Apache-2.0
// `fieldline diff`: what changed between two runs.
#pragma once

#include <string>

#include "cli/analyze.h"

namespace fieldline::cli {

struct DiffOptions {
  std::string before, after;
  bool json = false;
};

int diff(const DiffOptions& options, const Result<UserSettings>& settings);

}  // namespace fieldline::cli
