// SPDX-License-Identifier: Apache-2.0
// A port of a sensor, with what it saw in both directions; and how a path is put together from all
// of them.
#pragma once

#include <array>
#include <map>
#include <set>
#include <string>
#include <tuple>

#include "analysis/ledger.h"
#include "analysis/path.h"
#include "analysis/track.h"

namespace fieldline::analysis {

struct VantageKey {
  std::string domain, sensor, interface;

  auto operator<=>(const VantageKey&) const = default;
  std::string place() const { return domain + "/" + sensor; }
};

struct Vantage {
  std::set<std::string> sessions;  // a sensor that was restarted has several
  std::array<Track, 2> tracks;     // forward, reverse
  std::array<std::uint64_t, 2> bytes{};
  std::uint64_t super_packets = 0;  // records that stand for several wire packets
};

using Vantages = std::map<VantageKey, Vantage>;

// Settles the tracks; fills forward and reverse.
void assemble(Vantages& vantages, const Ledger& ledger, const FlowTable& flows, PathReport& report);

}  // namespace fieldline::analysis
