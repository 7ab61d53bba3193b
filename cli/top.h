// SPDX-License-Identifier: Apache-2.0
// `fieldline top`: the flows of a run while it is on, or the totals of one that is over, and of
// files.
#pragma once

#include <cstdint>

#include "cli/analyze.h"

namespace fieldline::cli {

struct TopOptions {
  AnalyzeOptions input;
  std::uint64_t interval_ns = 1'000'000'000;
  bool json = false;
  bool once = false;  // what is there now, and no more
};

int top(const TopOptions& options, const Result<UserSettings>& settings);

}  // namespace fieldline::cli
