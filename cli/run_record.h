// SPDX-License-Identifier: Apache-2.0
// What `fieldline run` found out about its command, and how it tells it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "analysis/why.h"
#include "base/run_id.h"
#include "cli/cover.h"
#include "cli/run_maker.h"
#include "cli/spray.h"

namespace fieldline::cli {

// By the index that Cover gives it.
struct RecordedRun {
  RunId run;
  Plan plan;
  std::uint64_t first_pulse_ns = 0, ended_ns = 0;  // UTC
  std::uint32_t pulses = 0;
  std::optional<analysis::WhyReport> report;
  std::string error;                    // why there is none
  std::vector<std::string> unfinished;  // sensors without final counts
};

struct RunRecord {
  std::vector<std::string> command;
  RunTerms terms;                              // what was asked for
  std::uint64_t started_ns = 0, ended_ns = 0;  // UTC
  int exit = 0;
  std::optional<int> signal;  // that killed the command
  bool by_cgroup = false;
  std::string no_cgroup;                        // why it is the tree of processes instead
  std::uint64_t looks = 0, longest_gap_ns = 0;  // between two looks
  std::uint64_t closed_to_us = 0, cgroups_within = 0;
  bool left_running = false;  // children of the command
  Cover cover;
  std::vector<RecordedRun> runs;
  std::vector<SprayRow> spray;  // with terms.spray: what each vantage point saw
  std::vector<std::string> remarks;
};

nlohmann::json to_json(const RunRecord& record);  // docs/format/run.md
std::string to_text(const RunRecord& record, bool color);

}  // namespace fieldline::cli
