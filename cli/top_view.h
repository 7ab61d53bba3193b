// SPDX-License-Identifier: Apache-2.0
// The flows of a report by bandwidth, as a table and as JSON (docs/format/top.md).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "analysis/path.h"

namespace fieldline::cli {

// What a flow did in one direction since the report before.
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

struct TopView {
  analysis::PathReport report;
  std::uint64_t interval_ns = 0;  // of the pace; 0: of each flow, from its first packet to its last
  bool ended = false;             // nothing more will come
  std::vector<TopRow> rows;       // the fastest first
};

// Holds what the report before had counted, and nothing else.
class TopPacer {
 public:
  // The first view, and those without an interval, have all flows; later ones those with packets.
  TopView view(analysis::PathReport report, std::uint64_t interval_ns, bool ended);

 private:
  std::array<std::vector<analysis::FlowCounts>, 2> before_;
  bool begun_ = false;
};

// Per section what it lost of this flow; no value where that cannot be known.
using FlowLosses = std::vector<std::optional<std::uint64_t>>;
// By flow, of one direction.
std::vector<FlowLosses> losses_of(const analysis::PathReport& report, bool reverse);

nlohmann::json to_json(const TopView& view);
std::string to_table(const TopView& view);

}  // namespace fieldline::cli
