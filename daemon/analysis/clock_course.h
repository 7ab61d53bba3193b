// SPDX-License-Identifier: Apache-2.0
// A clock against another over a whole recording: stretches in which both ran evenly, and the steps
// between them.
#pragma once

#include <vector>

#include "analysis/clock_fit.h"

namespace fieldline::analysis {

struct ClockStep {
  double from = 0, to = 0;   // between these times
  double by = 0, error = 0;  // error: if the least delays did not change then
  // No delays explain it. Else: each way's least delay might have changed by as much, one up and
  // one down, at the same time.
  bool certain = false;
};

struct ClockCourse {
  std::vector<ClockFit> stretches;  // in order of time
  std::vector<ClockStep> steps;

  // nullptr: in no stretch that is known.
  const ClockFit* at(double time) const;
  double unknown() const;  // time in stretches that are not known
};

// cell: how far apart in time steps are looked for, > 0.
//
// A step of theta lifts the one way's delays by as much as it lowers the other's, so that no strip
// of the old width fits both sides of it: it is looked for where strips left and right are wide,
// and the common one is narrower than any quiet time's. A queue lifts one way only, or widens; a
// strip that is found in quiet times fits it as well.
ClockCourse follow_clock(const Readings& forward, const Readings& reverse, double cell,
                         double slack = 0);

}  // namespace fieldline::analysis
