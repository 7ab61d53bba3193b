// SPDX-License-Identifier: Apache-2.0
// The flow entries of one grant: for each port pair one per direction.
#pragma once

#include <variant>
#include <vector>

#include "proto/flow.h"
#include "sense/refusal.h"
#include "sense/trigger.h"

namespace fieldline::sense {

struct FlowShape {
  fl_flow_key key{}, mask{};  // the key is masked
  std::uint8_t direction = FL_FORWARD;
};

// A pair that another one contains is left out. Entries that overlap otherwise are refused
// (unsupported): a packet of both would stand in two counters of one run, and its counts would not
// add up.
std::variant<std::vector<FlowShape>, Refusal> flows_of(const Grant& grant);

}  // namespace fieldline::sense
