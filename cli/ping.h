// SPDX-License-Identifier: Apache-2.0
// `fieldline ping`: one signed packet along the flow's path switches on every sensor that it
// passes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "cli/flow_spec.h"
#include "cli/run_maker.h"
#include "cli/settings.h"

namespace fieldline::cli {

struct PingOptions {
  std::string host;
  int family = 0;  // AF_UNSPEC, AF_INET, AF_INET6
  std::vector<FlowSpec> flows;
  std::optional<Address> source;
  std::string via;  // "ssh:HOST": the flow's host; empty: this one
  RunTerms terms;
  bool json = false, no_archive = false;
  unsigned wait = 0;  // sensors that must confirm
};

// Two lost pulses in a row must fit into a pulse's life.
constexpr std::uint64_t kRenewMin = 100'000'000, kRenewMax = 4ull * 1'000'000'000;

// The exit code. Blocks SIGINT and SIGTERM, which end the run in order.
int ping(const PingOptions& options, const UserSettings& settings);

}  // namespace fieldline::cli
