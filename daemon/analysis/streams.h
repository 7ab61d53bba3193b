// SPDX-License-Identifier: Apache-2.0
// A run's parallel streams side by side, and the one that holds the others up.
#pragma once

#include <vector>

#include "analysis/why.h"

namespace fieldline::analysis {

struct Stream {
  const WhyFlow* flow = nullptr;
  double rate = 0;  // bit/s, over its own time
};

struct Streams {
  std::vector<Stream> streams;       // those with most bytes in front; empty: fewer than two
  const WhyFlow* slowest = nullptr;  // if it is slow beside the others
  double others = 0;                 // their median rate, without the slowest
};

// Those that the same end of the same path sends. What carried next to nothing because its
// application had nothing to send is a control connection and no stream.
Streams side_by_side(const std::vector<WhyFlow>& flows);

}  // namespace fieldline::analysis
