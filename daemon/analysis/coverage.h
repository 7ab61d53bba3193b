// SPDX-License-Identifier: Apache-2.0
// What was seen, kept and missed at each vantage point: how far the answers about a run can be
// trusted. A view over a path report.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "analysis/path.h"

namespace fieldline::analysis {

struct Cover {
  const Point* point = nullptr;
  bool reverse = false;
  std::uint64_t dropped = 0;     // all names
  std::int64_t unaccounted = 0;  // seen - recorded - dropped: not zero is a mistake somewhere
  // Packets that points in front of it and behind it saw, and it did not.
  std::uint64_t passed_unseen = 0;
  // Of the section in front of it: in doubt because of this point or the one before.
  std::uint64_t undecided = 0;
};

std::vector<Cover> coverage_of(const PathReport& report);  // points of the report, both directions

nlohmann::json coverage_to_json(const PathReport& report);  // docs/format/coverage.md
std::string coverage_to_table(const PathReport& report, bool color = false);

}  // namespace fieldline::analysis
