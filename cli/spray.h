// SPDX-License-Identifier: Apache-2.0
// What --spray tells: triggers from many source ports cover equal-cost paths that the flow itself
// does not take, so that it is worth knowing which vantage points saw triggers, the flow's packets,
// or both. Pure: fed with reports, asked for rows.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/run_watch.h"

namespace fieldline::cli {

constexpr unsigned kSprayMax = 64;  // source ports; each pulse leaves from each of them

struct SprayRow {
  std::string vantage;  // "s1:eth0"
  std::uint64_t triggers = 0, packets = 0;

  const char* saw() const;  // "both", "trigger", "data", "neither"
};

class SprayBoard {
 public:
  void take(const WatchEvent& event);
  // Each port of each sensor that was on for any of the runs.
  std::vector<SprayRow> rows() const;

 private:
  using Point = std::pair<std::string, std::uint64_t>;  // sensor, port
  struct Counts {
    std::uint64_t triggers = 0;
    std::map<std::string, std::uint64_t> packets;  // by direction
  };
  std::map<Point, std::string> names_;
  std::map<std::pair<RunId, Point>, Counts> counts_;  // of a run, from its begin
  std::set<std::string> started_;                     // sensors
};

std::string render_spray(const std::vector<SprayRow>& rows);
nlohmann::json to_json(const std::vector<SprayRow>& rows);

}  // namespace fieldline::cli
