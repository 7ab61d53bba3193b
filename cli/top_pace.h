// SPDX-License-Identifier: Apache-2.0
// What a run's flows, or of one that is counted alone its vantage points, did since the report
// before. What a sampling point told is multiplied: an estimate.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "analysis/path.h"

namespace fieldline::cli {

// In one direction.
struct Pace {
  std::uint64_t packets = 0, data_packets = 0, payload_bytes = 0, again_packets = 0;
  std::uint64_t rtt_samples = 0;
  double rtt_ns = 0;  // mean of these
  double bits_per_s = 0;
};

struct TopRow {
  std::size_t flow = 0;      // of PathReport::flows
  std::array<Pace, 2> pace;  // forward, reverse
};

// Of a run that is counted alone.
struct PointRow {
  bool reverse = false;
  std::size_t point = 0;  // of Direction::points
  std::uint64_t packets = 0, bytes = 0;
  double bits_per_s = 0;  // on the wire
};

// A sensor or host that was on and says nothing any more.
struct Silent {
  std::string name, text;
};

struct TopView {
  analysis::PathReport report;
  std::uint64_t interval_ns = 0;  // of the pace; 0: of each flow, from its first packet to its last
  bool ended = false;             // nothing more will come
  std::vector<TopRow> rows;       // the fastest first
  std::vector<PointRow> points;   // in path order
  std::vector<Silent> silent;
};

// Holds what the report before had counted, and nothing else.
class TopPacer {
 public:
  // The first view, and those without an interval, have all flows; later ones those with packets.
  TopView view(analysis::PathReport report, std::uint64_t interval_ns, bool ended);

 private:
  struct Counted {
    std::uint64_t packets = 0, bytes = 0;
  };
  void add_flows(TopView& view);
  void add_points(TopView& view);

  std::array<std::vector<analysis::FlowCounts>, 2> before_;
  std::array<std::map<std::string, Counted>, 2> points_before_;
  bool begun_ = false;
};

const analysis::Direction& direction_of(const analysis::PathReport& report, bool reverse);
// Nothing is known of single packets.
bool is_counted(const analysis::PathReport& report);
// One of so many packets is recorded at the direction's first point.
std::uint64_t sample_n_of(const analysis::Direction& direction);
// The same of what a section compares: the coarser of its ends.
std::uint64_t sample_n_of(const analysis::Direction& direction, const analysis::Section& section);
// Of a flow at the direction's first point, as if it did not sample.
analysis::FlowCounts counts_of(const analysis::Direction& direction, std::size_t flow);

// Per section what it lost of this flow; no value where that cannot be known.
using FlowLosses = std::vector<std::optional<std::uint64_t>>;
// By flow, of one direction.
std::vector<FlowLosses> losses_of(const analysis::PathReport& report, bool reverse);

}  // namespace fieldline::cli
