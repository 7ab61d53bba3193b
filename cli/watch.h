// SPDX-License-Identifier: Apache-2.0
// `fieldline watch`: a run's packets while they come, as pcapng, all vantage points as interfaces
// of one capture in order of time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli/flow_spec.h"
#include "cli/settings.h"

namespace fieldline::cli {

struct WatchOptions {
  std::string run = "last";
  std::optional<FlowSpec> flow;
  std::string vantage;
  std::string output;  // path, "-" or empty: stdout
  std::uint64_t wait_ns = 500'000'000;
  bool json = false;  // the counts on stderr as JSON
};

// --wait: 0 to 60s.
Result<std::uint64_t> parse_wait(const std::string& text);

// The exit code. Blocks SIGINT, SIGTERM and SIGHUP, which end it in order.
int watch(const WatchOptions& options, const UserSettings& settings);

}  // namespace fieldline::cli
