// SPDX-License-Identifier: Apache-2.0
// One-way delays between vantage points whose clocks are not to be trusted: what the clocks differ
// by is told from the packets of both directions (clock_fit.h), and taken from the delays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "analysis/clock_course.h"
#include "analysis/path.h"

namespace fieldline::analysis {

// What clock b is ahead of clock a. A place (a sensor, a capture file) has one clock.
struct ClockPair {
  std::string a, b;
  // Places behind the one it starts from, up to the other: where packets pass that bound the one
  // way. Two entries or more: over neighbours. Empty: none pass.
  std::vector<std::string> there, back;
  bool by_b = false;  // the times of the course are clock b's, else clock a's
  std::uint64_t origin_ns = 0;
  std::int64_t base_ns = 0;  // what the course's offsets are counted from
  ClockCourse course;

  // Of a packet from a to b, or back.
  std::optional<double> corrected_ns(const DelaySample& sample, bool back) const;
  double above_base(std::int64_t delay_ns, bool back) const;
  std::uint64_t time_of(double at) const;
  // What b is ahead by at a time of the course, by a stretch of it.
  double ahead_ns(const ClockFit& fit, double at) const {
    return fit.theta(at) + static_cast<double>(base_ns);
  }
};

// A section between two points, in one direction.
struct OneWay {
  struct Bin {
    std::uint64_t from_ns = 0;  // by the upstream clock
    std::int64_t min_ns = 0, mean_ns = 0, max_ns = 0;
    std::optional<std::int64_t> p99_ns;  // see p99_of()
  };
  enum class Kind {
    known,      // delays
    variation,  // above the least that was seen: what the clocks differ by is not known
    nothing,    // no packet was seen at both
  };

  bool reverse = false;
  std::size_t section = 0;          // of its direction
  std::optional<std::size_t> pair;  // of clocks; none: both points have one clock
  Kind kind = Kind::nothing;
  Delay delay;                 // samples: those that stand behind it
  std::int64_t error_ns = 0;   // of each of them
  bool partly = false;         // known: a part of the time is not in it
  std::vector<Bin> bins;       // for a figure
  std::uint64_t width_ns = 0;  // of a bin
};

struct OwdReport {
  PathReport path;
  std::vector<ClockPair> clocks;
  std::vector<OneWay> ways;
  bool whole = false;  // every way is known, all the time
};

OwdReport measure_one_way(PathReport path);

// What the two hosts said of their clocks' greatest errors, together; none: not both of them did.
// synchronized: neither called its own a guess.
struct RecordedError {
  std::uint64_t ns = 0;
  bool synchronized = false;
  bool course = false;  // each second, else when the run began
};
// While the stretch lasted, or all the time.
std::optional<RecordedError> recorded_error(const OwdReport& report, const ClockPair& pair,
                                            const ClockFit* stretch = nullptr);
// When the hosts themselves saw that their clocks were set.
struct RecordedStep {
  std::string place;
  RecordedClock::Step step;
};
std::vector<RecordedStep> recorded_steps(const OwdReport& report, const ClockPair& pair);

nlohmann::json to_json(const OwdReport& report);  // docs/format/owd.md
std::string to_table(const OwdReport& report, bool color = false);

}  // namespace fieldline::analysis
