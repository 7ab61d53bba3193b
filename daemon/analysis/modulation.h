// SPDX-License-Identifier: Apache-2.0
// What the stack and the path made of what the application wrote: sizes and gaps at each layer of
// both hosts and at each vantage point (MAGNeT, section IV).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "analysis/path.h"

namespace fieldline::analysis {

struct ModulationRow {
  std::string host, layer;  // of a host: "send()", "tcp", "ip", "device", "recv()"
  std::string point;        // of a vantage point
  Spacing spacing;
};

// One flow's direction that carried data.
struct ModulationFlow {
  std::uint16_t sport = 0, dport = 0;
  std::uint8_t protocol = 0;
  bool reverse = false;
  std::vector<ModulationRow> rows;  // from the sending application to the receiving one

  std::uint64_t bytes() const { return rows.empty() ? 0 : rows.front().spacing.bytes(); }
};

struct ModulationReport {
  PathReport path;
  std::vector<ModulationFlow> flows;  // those with most bytes first
  std::vector<std::string> doubts;
};

ModulationReport judge_modulation(PathReport path);  // of one made with Limits::spacing

nlohmann::json to_json(const ModulationReport& report);  // docs/format/modulation.md
std::string to_table(const ModulationReport& report, bool color = false);

}  // namespace fieldline::analysis
