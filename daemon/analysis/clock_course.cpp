// SPDX-License-Identifier: Apache-2.0
#include "analysis/clock_course.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

namespace fieldline::analysis {
namespace {

constexpr std::size_t kSmallest = 5;  // cells on each side of what may be a step
constexpr std::size_t kStretchesMax = 64;
constexpr double kLeastStepNs = 20e3;
constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr std::size_t kPacketsForStray = 64;  // that one may be left out
constexpr std::size_t kStraysMax = 16;

// The least reading of each cell, both ways; cells without a reading are left out.
class Cells {
 public:
  Cells(const Readings& forward, const Readings& reverse, double cell) : cell_(cell) {
    std::vector<double> numbers;
    for (const Readings* way : {&forward, &reverse}) {
      for (const Reading& one : *way) {
        const double number = std::floor(one.at / cell);
        if (numbers.empty() || numbers.back() != number) numbers.push_back(number);
      }
    }
    std::sort(numbers.begin(), numbers.end());
    numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
    numbers_ = std::move(numbers);
    reduce(forward, forward_);
    reduce(reverse, reverse_);
  }

  std::size_t size() const { return numbers_.size(); }
  double begin(std::size_t at) const { return numbers_[at] * cell_; }
  double end(std::size_t at) const { return (numbers_[at] + 1) * cell_; }

  Span span(std::size_t from, std::size_t to) const {
    const auto in = [&](const Way& way, std::size_t at) {
      return way.least.data() + way.first[at];
    };
    return {in(forward_, from), in(forward_, to), in(reverse_, from), in(reverse_, to)};
  }

 private:
  struct Way {
    Readings least;
    std::vector<std::ptrdiff_t> first;  // by cell, and the end
  };

  void reduce(const Readings& readings, Way& way) const {
    auto one = readings.begin();
    for (const double number : numbers_) {
      way.first.push_back(static_cast<std::ptrdiff_t>(way.least.size()));
      auto least = readings.end();
      for (; one != readings.end() && std::floor(one->at / cell_) == number; ++one) {
        if (least == readings.end() || one->delay < least->delay) least = one;
      }
      if (least != readings.end()) way.least.push_back(*least);
    }
    way.first.push_back(static_cast<std::ptrdiff_t>(way.least.size()));
  }

  double cell_ = 1;
  std::vector<double> numbers_;
  Way forward_, reverse_;
};

struct Look {
  double width = 0, noise = 0;
};

Look look(const Span& span) {
  const Hull forward(span.forward, span.forward_end), reverse(span.reverse, span.reverse_end);
  const Strip strip = widest_strip(forward, reverse);
  return {strip.width, noise_of(span, strip, forward, reverse)};
}

double width_of(const Span& left, const Span& right) {
  Readings forward(left.forward, left.forward_end), reverse(left.reverse, left.reverse_end);
  forward.insert(forward.end(), right.forward, right.forward_end);
  reverse.insert(reverse.end(), right.reverse, right.reverse_end);
  return widest_strip({forward.data(), forward.data() + forward.size()},
                      {reverse.data(), reverse.data() + reverse.size()})
      .width;
}

struct Range {
  std::size_t from = 0, to = 0;  // of cells
};

class Cutter {
 public:
  Cutter(const Cells& cells, double slack) : cells_(cells), slack_(slack) {
    for (std::size_t from = 0; from < cells.size(); from += kSmallest) {
      const Range range{from, std::min(cells.size(), from + kSmallest)};
      const Span span = cells.span(range.from, range.to);
      if (span.both()) quiet_.push_back({range, look(span).width});
    }
    std::sort(quiet_.begin(), quiet_.end(),
              [](const Window& a, const Window& b) { return a.width < b.width; });
  }

  std::vector<Range> stretches() const {
    std::vector<Range> done, open{{0, cells_.size()}};
    while (!open.empty()) {
      const Range one = open.back();
      open.pop_back();
      const bool room = done.size() + open.size() < kStretchesMax;
      if (const auto step = room ? step_in(one) : std::nullopt) {
        open.push_back({step->to, one.to});
        open.push_back({one.from, step->from});
      } else {
        done.push_back(one);
      }
    }
    return done;
  }

 private:
  struct Window {
    Range range;
    double width;
  };

  // How many times the least step that can be told there is one in `step`; `reach` cells on both
  // sides of it are looked at.
  double score(const Range& range, const Range& step, std::size_t reach) const {
    const Span left = cells_.span(step.from - std::min(reach, step.from - range.from), step.from);
    const Span right = cells_.span(step.to, std::min(range.to, step.to + reach));
    if (!left.both() || !right.both()) return 0;
    const double joint = width_of(left, right);
    const double doubt = kLeastStepNs + slack_;
    const bool impossible = joint < -doubt;
    if (!impossible && quiet(step) - joint <= doubt) return 0;
    const Look before = look(left), after = look(right);
    const double narrower = std::min(before.width, after.width) - joint;
    const double least = doubt + 3 * std::max(before.noise, after.noise);
    if (std::min(before.width, after.width) < 0) return 0;
    if (impossible) return 1 + narrower / least;
    return std::min(narrower, quiet(step) - joint) / least;
  }

  // How wide a strip is in quiet times elsewhere. Not the least of all: other steps make windows
  // narrow.
  double quiet(const Range& step) const {
    std::size_t before = quiet_.size() / 10;
    for (const Window& window : quiet_) {
      if (window.range.from <= step.to && step.from <= window.range.to) continue;
      if (before-- == 0) return window.width;
    }
    return std::numeric_limits<double>::lowest();
  }

  // From near to far: what is near tells best when, what is far is needed under queues.
  std::optional<Range> step_in(const Range& range) const {
    const std::size_t size = range.to - range.from;
    for (std::size_t reach = kSmallest; reach < 4 * size; reach *= 4) {
      const std::size_t stride = std::min(reach, size) / kSmallest;
      Range best;
      double highest = 1;
      const auto look_between = [&](std::size_t from, std::size_t to, std::size_t width) {
        for (std::size_t at = from; at + width <= to; at += width) {
          const double found = score(range, {at, at + width}, reach);
          if (found <= highest) continue;
          highest = found;
          best = {at, at + width};
        }
      };
      look_between(range.from + 1, range.to - std::min<std::size_t>(1, size),
                   std::max<std::size_t>(stride, 1));
      if (best.to == 0) continue;
      const Range wide = best;
      highest = 1;
      if (stride > 1) look_between(wide.from, wide.to, 1);
      return best;
    }
    return std::nullopt;
  }

  const Cells& cells_;
  double slack_;
  std::vector<Window> quiet_;  // by width
};

Span part_of(const Readings& forward, const Readings& reverse, double from, double to) {
  const auto at = [](const Readings& way, double time) {
    return way.data() + (std::lower_bound(way.begin(), way.end(), time,
                                          [](const Reading& one, double t) { return one.at < t; }) -
                         way.begin());
  };
  return {at(forward, from), at(forward, to), at(reverse, from), at(reverse, to)};
}

// A packet that is far faster than all others near it was joined with a copy of itself: left out,
// since a bound less is only a wider bound.
ClockFit fit_robust(const Span& span, double slack) {
  ClockFit fit = fit_clock(span, slack);
  Readings forward(span.forward, span.forward_end), reverse(span.reverse, span.reverse_end);
  const std::size_t all = forward.size() + reverse.size();
  for (std::size_t strays = 1; strays <= std::min(all / kPacketsForStray, kStraysMax); ++strays) {
    const auto span_of = [](const Readings& a, const Readings& b) {
      return Span{a.data(), a.data() + a.size(), b.data(), b.data() + b.size()};
    };
    const Span now = span_of(forward, reverse);
    if (!now.both()) break;
    const Hull ahead(now.forward, now.forward_end), back(now.reverse, now.reverse_end);
    const Strip strip = widest_strip(ahead, back);
    Readings without[2] = {forward, reverse};
    Look best;
    int way = -1;
    for (const int one : {0, 1}) {
      const double at = one == 0 ? ahead.touch(strip.slope).at : back.touch(-strip.slope).at;
      Readings& rest = without[one];
      rest.erase(std::min_element(rest.begin(), rest.end(), [&](const auto& a, const auto& b) {
        return std::pair(a.at != at, a.delay) < std::pair(b.at != at, b.delay);
      }));
      const Span less = one == 0 ? span_of(rest, reverse) : span_of(forward, rest);
      if (!less.both()) continue;
      const Look found = look(less);
      if (way >= 0 && found.width <= best.width) continue;
      best = found;
      way = one;
    }
    if (way < 0 || best.width - strip.width < 10 * (best.noise + kLeastStepNs)) break;
    (way == 0 ? forward : reverse) = std::move(without[way]);
    fit = fit_clock(span_of(forward, reverse), slack);
    fit.strays = strays;
  }
  return fit;
}

// A change of rate that was cut some cells away from its place looks like a small step.
ClockStep step_between(const ClockFit& a, const ClockFit& b, double cell) {
  ClockStep step{a.end, b.begin, b.theta(b.begin) - a.theta(b.begin), 0, false};
  step.error = kLeastStepNs / 2 + 2 * (a.noise + b.noise) +
               std::abs(b.drift - a.drift) * (b.begin - a.end + kSmallest * cell);
  for (const ClockFit* fit : {&a, &b})
    step.error += fit->drift_error * ((fit->end - fit->begin) / 2 + (b.begin - a.end));
  step.certain = std::abs(step.by) > a.error + b.error + kDriftMax * (b.begin - a.end);
  return step;
}

// The last reading that only the stretch before a step explains, and the first that only the one
// behind it does: what is far below the other's strip.
void narrow_down(const Span& span, const ClockFit& a, const ClockFit& b, ClockStep& step) {
  const auto is_below = [&](const Reading& one, const ClockFit& fit, bool reverse) {
    const double theta = fit.theta(one.at);
    return one.delay - fit.round_trip / 2 - (reverse ? -theta : theta) < -std::abs(step.by) / 2;
  };
  double from = a.begin, to = b.end;
  const auto scan = [&](const Reading* begin, const Reading* end, bool reverse) {
    for (const Reading* one = begin; one != end; ++one) {
      if (is_below(*one, b, reverse)) from = std::max(from, one->at);
      if (is_below(*one, a, reverse)) to = std::min(to, one->at);
    }
  };
  scan(span.forward, span.forward_end, false);
  scan(span.reverse, span.reverse_end, true);
  if (from > to) return;
  step.from = from;
  step.to = to;
}

}  // namespace

const ClockFit* ClockCourse::at(double time) const {
  for (const ClockFit& fit : stretches) {
    if (fit.known && time >= fit.begin && time <= fit.end) return &fit;
  }
  return nullptr;
}

double ClockCourse::unknown() const {
  double sum = 0;
  for (const ClockFit& fit : stretches) sum += fit.known ? 0 : fit.end - fit.begin;
  return sum;
}

ClockCourse follow_clock(const Readings& forward, const Readings& reverse, double cell,
                         double slack) {
  ClockCourse course;
  if (forward.empty() || reverse.empty()) return course;
  const Cells cells(forward, reverse, cell);
  auto& stretches = course.stretches;
  for (const Range& range : Cutter(cells, slack).stretches()) {
    stretches.push_back(fit_robust(
        part_of(forward, reverse, cells.begin(range.from), cells.end(range.to - 1)), slack));
  }
  for (std::size_t i = 1; i < stretches.size(); ++i) {
    ClockFit &a = stretches[i - 1], &b = stretches[i];
    if (!a.known || !b.known) continue;
    ClockStep step = step_between(a, b, cell);
    if (!step.certain && std::abs(step.by) <= step.error) continue;
    const auto fit = [&](double from, double to) {
      return fit_robust(part_of(forward, reverse, from, std::nextafter(to, kNever)), slack);
    };
    narrow_down(part_of(forward, reverse, a.begin, std::nextafter(b.end, kNever)), a, b, step);
    const ClockFit before = fit(a.begin, step.from), after = fit(step.to, b.end);
    if (before.known && after.known) {
      // A reading tells of the other clock a delay away from its time.
      step.from = std::max(before.begin, step.from - std::max(before.round_trip, 0.0));
      step.to = std::min(after.end, step.to + std::max(after.round_trip, 0.0));
      a = before;
      a.end = std::min(a.end, step.from);
      b = after;
      b.begin = std::max(b.begin, step.to);
      b.offset = after.theta(b.begin);
    }
    course.steps.push_back(step);
  }
  return course;
}

}  // namespace fieldline::analysis
