// SPDX-License-Identifier: Apache-2.0
// The flow entries of one grant: for each port pair one per direction.
#pragma once

#include <vector>

#include "proto/flow.h"
#include "sense/trigger.h"

namespace fieldline::sense {

struct FlowShape {
  fl_flow_key key{}, mask{};  // the key is masked
  std::uint8_t direction = FL_FORWARD;
};

struct GrantFlows {
  std::vector<FlowShape> entries;
  // A packet may match several of them, or one of both directions: the entries' counters do not add
  // up to what the run has seen, and do not tell its directions.
  bool overlap = false;
};

// inner: they also match packets inside tunnels.
//
// A pair that another one contains is left out. Where both hosts lie in one network an entry may be
// of both directions (FL_EITHER).
GrantFlows flows_of(const Grant& grant, bool inner = false);

}  // namespace fieldline::sense
