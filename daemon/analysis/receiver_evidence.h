// SPDX-License-Identifier: Apache-2.0
// What happened behind the last vantage point, from what the receiver acknowledged there.
#pragma once

#include "analysis/sender_holes.h"

namespace fieldline::analysis {

// A data packet seen here is lost behind here if its range was sent again before an acknowledgement
// or SACK of it had come by, and no DSACK says later that both arrived.
EndEvidence after_last(const Track& last, const Track* acks, const FlowTable& flows, bool reverse,
                       const Watch& watch);

}  // namespace fieldline::analysis
