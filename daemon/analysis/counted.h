// SPDX-License-Identifier: Apache-2.0
// A path from counters alone: of a run that records no packets.
#pragma once

#include "analysis/ledger.h"
#include "analysis/path.h"

namespace fieldline::analysis {

// A path only loses, so that its points stand in the order of their counts; where these are equal,
// as the trigger came to them, by their own clocks. What a section lost is its ends' difference.
Direction counted_direction(const Ledger& ledger, bool reverse);
// From when to when such a report is: no record tells.
void time_by_counters(PathReport& report);

}  // namespace fieldline::analysis
