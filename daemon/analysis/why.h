// SPDX-License-Identifier: Apache-2.0
// What a flow's time went into: each sender's waiting, by its host's records, and what the vantage
// points saw of the path then.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "analysis/path.h"
#include "analysis/senders.h"

namespace fieldline::analysis {

struct WhyInterval {
  std::uint64_t from_ns = 0;
  LimitTimes times;
  std::optional<std::size_t> section;  // of the path's direction: whose queue
};

// One sender of TCP data.
struct WhyFlow {
  // That came to the other end, as far as acknowledgements tell.
  std::uint64_t bytes() const { return facts.acked ? facts.acked : facts.written; }

  std::string host;   // whose records these are; empty: of headers alone, ...
  std::string point;  // ... as this vantage point saw them
  std::uint64_t cookie = 0;
  std::uint16_t local_port = 0, peer_port = 0;
  bool minor = false;           // less than a hundredth of the greatest flow's bytes
  std::optional<bool> reverse;  // in which of the path's directions it sends; none: not known
  SendFacts facts;
  std::optional<ReadFacts> reader;  // of the socket at the other end, where its host records too
  std::string reader_host;
  LimitTimes total;
  std::uint64_t width_ns = 0;
  std::vector<WhyInterval> intervals;             // by time; those that tell nothing are left out
  std::map<std::size_t, std::uint64_t> queue_ns;  // by section
  std::map<std::size_t, std::uint64_t> lost;      // packets of this flow, by section
};

struct WhyReport {
  PathReport path;
  std::vector<WhyFlow> flows;       // those with most bytes in front
  LimitTimes total;                 // of those that are not minor
  std::vector<std::string> doubts;  // what is not known, one line each
};

// Of a flow whose direction is known.
const Direction& direction_of(const WhyReport& report, const WhyFlow& flow);

// Of one connection's both ends the one that sent (nearly) nothing is left out.
WhyReport judge_waiting(PathReport path);
// Tells what was judged in stretches of at least so long together.
void widen(WhyReport& report, std::uint64_t interval_ns);

nlohmann::json to_json(const WhyReport& report);  // docs/format/why.md
std::string to_table(const WhyReport& report, bool color = false);

}  // namespace fieldline::analysis
