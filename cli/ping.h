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
#include "cli/settings.h"
#include "sense/trigger.h"

namespace fieldline::cli {

struct PingOptions {
  std::string host;
  int family = 0;  // AF_UNSPEC, AF_INET, AF_INET6
  std::vector<FlowSpec> flows;
  std::optional<Address> source;
  std::string via;  // "ssh:HOST": the flow's host; empty: this one
  bool icmp = false;
  std::uint16_t port = FL_TRIGGER_PORT;
  unsigned spray = 1;  // source ports
  std::uint64_t for_ns = 60ull * 1'000'000'000;
  std::uint64_t renew_ns = 1'000'000'000;
  std::uint16_t snaplen = FL_SNAPLEN_HEADERS;
  bool count = false;            // counters instead of records
  std::uint32_t sample_n = 1;    // a power of two
  sense::Fingerprint archive{};  // what the grant selects; zero: each sensor's own
  bool at_requester = false;     // it selects the archive that is asked
  bool json = false, no_archive = false;
  unsigned wait = 0;  // sensors that must confirm
};

// Two lost pulses in a row must fit into a pulse's life.
constexpr std::uint64_t kRenewMin = 100'000'000, kRenewMax = 4ull * 1'000'000'000;

// The exit code. Blocks SIGINT and SIGTERM, which end the run in order.
int ping(const PingOptions& options, const UserSettings& settings);

}  // namespace fieldline::cli
