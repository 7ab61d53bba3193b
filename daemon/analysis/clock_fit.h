// SPDX-License-Identifier: Apache-2.0
// How far a clock b is ahead of a clock a, from the delays of packets both ways between them.
//
// A packet from a to b shows forward = its delay + theta, one from b to a shows reverse = its delay
// - theta, theta(t) = b - a. Delays are not negative: each forward reading is above theta, each
// negated reverse reading below it. While both clocks run evenly theta is a line between the two
// sets: the lower convex hulls bound it, and the widest strip of parallel lines between them tells
// the drift (the hull over delays in the line of Paxson 1998, Moon, Skelly and Towsley 1999, and
// Zhang, Liu and Xia 2002; both ways and as bounds as Duda, Harrus, Haddad and Bernard 1987). The
// strip's width is the least round trip. Where in the strip theta lies cannot be known from such
// readings: the estimate is its middle, half the width its error.
//
// Rejected: a fit that weighs every reading (linear regression, or Moon's sum of distances): a
// queue that stands for half of the time bends it, and it bounds nothing.
#pragma once

#include <cstddef>
#include <vector>

namespace fieldline::analysis {

// Times and delays in ns, each from an origin that the caller chose.
struct Reading {
  double at = 0, delay = 0;
};
using Readings = std::vector<Reading>;  // by time

// Beyond it a clock is broken: the kernel disciplines by 500 ppm at most, and an oscillator is
// better than 100.
constexpr double kDriftMax = 1e-3;
// Of timestamps: captures have microseconds.
constexpr double kResolutionNs = 1e3;

// The lower convex hull.
class Hull {
 public:
  Hull(const Reading* begin, const Reading* end);
  struct Touch {
    double gap = 0;  // of the highest line of this slope that is not above a reading, at time 0
    double at = 0;
  };
  Touch touch(double slope) const;

 private:
  Readings corners_;
};

// Of both ways.
struct Span {
  const Reading *forward = nullptr, *forward_end = nullptr;
  const Reading *reverse = nullptr, *reverse_end = nullptr;

  bool both() const { return forward != forward_end && reverse != reverse_end; }
  double begin() const;
  double end() const;
};

struct ClockFit {
  double begin = 0, end = 0;
  bool known = false;      // false: no line lies between the readings, or one way is missing
  double offset = 0;       // theta at `begin`
  double error = 0;        // holds from begin to end
  double drift = 0;        // ns per ns
  double drift_error = 0;  // if the least delays did not change
  double drift_low = 0, drift_high = 0;  // whatever the delays were
  double round_trip = 0;                 // least
  std::size_t strays = 0;                // readings that were left out
  double noise = 0;  // how far a part of the readings stays above the least of all

  double theta(double at) const { return offset + drift * (at - begin); }
};

// slack: what the readings themselves may be wrong by, beyond the resolution.
ClockFit fit_clock(const Span& span, double slack = 0);
// Only the width of the widest strip (less than zero: there is none), and the noise.
struct Strip {
  double width = 0, slope = 0;
};
Strip widest_strip(const Hull& forward, const Hull& reverse);
double noise_of(const Span& span, const Strip& strip, const Hull& forward, const Hull& reverse);

}  // namespace fieldline::analysis
