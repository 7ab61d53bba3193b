// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "analysis/limit.h"
#include "analysis/send_state.h"

namespace fieldline::analysis {

// What the headers of one flow's direction tell of its sender's waiting. Of `facts` there is what
// headers tell.
struct WireWaiting {
  std::uint16_t sport = 0, dport = 0;
  LimitSeries series;
  SendFacts facts;
};

}  // namespace fieldline::analysis
