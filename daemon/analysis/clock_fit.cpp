// SPDX-License-Identifier: Apache-2.0
#include "analysis/clock_fit.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fieldline::analysis {
namespace {

constexpr int kHalvings = 64;
constexpr std::size_t kParts = 8;

// Where a condition that holds at `yes` and not at `no` changes.
template <class Holds>
double border(double yes, double no, Holds holds) {
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = yes + (no - yes) / 2;
    (holds(middle) ? yes : no) = middle;
  }
  return yes;
}

double width_at(const Hull& forward, const Hull& reverse, double slope) {
  return forward.touch(slope).gap + reverse.touch(-slope).gap;
}

struct Slopes {
  double low = 0, high = 0;
};

// All slopes whose strip is at least so wide; the width is concave.
Slopes slopes_of(const Hull& forward, const Hull& reverse, double best, double width) {
  const auto holds = [&](double slope) { return width_at(forward, reverse, slope) >= width; };
  return {holds(-kDriftMax) ? -kDriftMax : border(best, -kDriftMax, holds),
          holds(kDriftMax) ? kDriftMax : border(best, kDriftMax, holds)};
}

// The highest that a line of one of these slopes, which is not above a reading, can be at a time.
double highest(const Hull& hull, const Slopes& slopes, double at) {
  const auto rises = [&](double slope) { return hull.touch(slope).at < at; };
  double slope = slopes.low;
  if (rises(slopes.low))
    slope = rises(slopes.high) ? slopes.high : border(slopes.low, slopes.high, rises);
  return hull.touch(slope).gap + slope * at;
}

struct Minima {
  std::vector<double> of_parts;  // those with a reading

  // The least of each part, above a line.
  Minima(const Reading* begin, const Reading* end, double from, double to, double slope,
         double gap) {
    std::vector<double> least(kParts, std::numeric_limits<double>::infinity());
    const double part = (to - from) / kParts;
    for (const Reading* one = begin; one != end; ++one) {
      const auto at = part > 0 ? static_cast<std::size_t>(std::min<double>(
                                     kParts - 1, std::max(0.0, (one->at - from) / part)))
                               : 0;
      least[at] = std::min(least[at], one->delay - slope * one->at - gap);
    }
    for (const double one : least) {
      if (std::isfinite(one)) of_parts.push_back(std::max(0.0, one));
    }
  }

  double upper_quartile() {
    const auto at = of_parts.begin() + static_cast<std::ptrdiff_t>(of_parts.size() * 3 / 4);
    std::nth_element(of_parts.begin(), at, of_parts.end());
    return *at;
  }
};

}  // namespace

Hull::Hull(const Reading* begin, const Reading* end) {
  for (const Reading* one = begin; one != end; ++one) {
    // Of one time only the least counts.
    if (!corners_.empty() && corners_.back().at >= one->at) {
      if (corners_.back().delay <= one->delay) continue;
      corners_.pop_back();
    }
    while (corners_.size() > 1) {
      const Reading &a = corners_[corners_.size() - 2], &b = corners_.back();
      if ((b.delay - a.delay) * (one->at - a.at) < (one->delay - a.delay) * (b.at - a.at)) break;
      corners_.pop_back();
    }
    corners_.push_back(*one);
  }
}

Hull::Touch Hull::touch(double slope) const {
  const auto value = [&](std::size_t at) { return corners_[at].delay - slope * corners_[at].at; };
  std::size_t low = 0, high = corners_.size() - 1;
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    if (value(middle + 1) < value(middle)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return {value(low), corners_[low].at};
}

double Span::begin() const {
  double first = std::numeric_limits<double>::infinity();
  if (forward != forward_end) first = forward->at;
  if (reverse != reverse_end) first = std::min(first, reverse->at);
  return first;
}

double Span::end() const {
  double last = -std::numeric_limits<double>::infinity();
  if (forward != forward_end) last = (forward_end - 1)->at;
  if (reverse != reverse_end) last = std::max(last, (reverse_end - 1)->at);
  return last;
}

Strip widest_strip(const Hull& forward, const Hull& reverse) {
  const auto rises = [&](double slope) {
    return reverse.touch(-slope).at > forward.touch(slope).at;
  };
  double slope = -kDriftMax;
  if (rises(slope)) slope = rises(kDriftMax) ? kDriftMax : border(slope, kDriftMax, rises);
  return {width_at(forward, reverse, slope), slope};
}

double noise_of(const Span& span, const Strip& strip, const Hull& forward, const Hull& reverse) {
  const double from = span.begin(), to = span.end();
  Minima ahead(span.forward, span.forward_end, from, to, strip.slope,
               forward.touch(strip.slope).gap);
  Minima back(span.reverse, span.reverse_end, from, to, -strip.slope,
              reverse.touch(-strip.slope).gap);
  // Three readings are in touch with every widest strip: of few parts little can be told.
  if (ahead.of_parts.size() + back.of_parts.size() < kParts) return std::max(0.0, strip.width);
  return ahead.upper_quartile() + back.upper_quartile();
}

ClockFit fit_clock(const Span& span, double slack) {
  ClockFit fit;
  fit.begin = span.begin();
  fit.end = span.end();
  if (!span.both()) return fit;
  const Hull forward(span.forward, span.forward_end), reverse(span.reverse, span.reverse_end);
  const Strip strip = widest_strip(forward, reverse);
  const double doubt = kResolutionNs + slack;
  if (strip.width < -2 * doubt) return fit;
  fit.known = true;
  fit.noise = noise_of(span, strip, forward, reverse);
  const Slopes possible = slopes_of(forward, reverse, strip.slope, std::min(0.0, strip.width));
  fit.drift_low = possible.low;
  fit.drift_high = possible.high;
  // The truth's strip is narrower than the widest by less than what a part of the readings is above
  // the least; twice, since that is an estimate.
  const double less = std::min(std::max(0.0, strip.width), 2 * (fit.noise + doubt));
  const Slopes likely = slopes_of(forward, reverse, strip.slope, strip.width - less);
  fit.drift = (likely.low + likely.high) / 2;
  fit.drift_error = (likely.high - likely.low) / 2;
  const double above = forward.touch(fit.drift).gap, below = -reverse.touch(-fit.drift).gap;
  fit.round_trip = above - below;
  fit.offset = (above + below) / 2 + fit.drift * fit.begin;
  // What is between the bounds and a line is greatest at an end.
  for (const double at : {fit.begin, fit.end}) {
    fit.error = std::max({fit.error, highest(forward, possible, at) - fit.theta(at),
                          highest(reverse, {-possible.high, -possible.low}, at) + fit.theta(at)});
  }
  fit.error += doubt;
  return fit;
}

}  // namespace fieldline::analysis
