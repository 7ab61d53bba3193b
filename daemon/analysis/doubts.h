// SPDX-License-Identifier: Apache-2.0
// Why a report's evidence is not whole, as far as the input itself shows it;
// what sensors tell of themselves is the ledger's. One line for each reason.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "analysis/captures.h"
#include "analysis/matcher.h"

namespace fieldline::analysis {

// ignored: as PathReport has it.
void doubt_input(const std::map<std::string, std::uint64_t>& ignored,
                 std::vector<std::string>& lines);
void doubt_captures(const CaptureSurvey& survey, std::vector<std::string>& lines);
// What came too late, or joins with nothing.
void doubt_joining(const Matcher& matcher, bool captures, std::vector<std::string>& lines);

}  // namespace fieldline::analysis
