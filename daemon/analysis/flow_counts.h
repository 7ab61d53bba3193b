// SPDX-License-Identifier: Apache-2.0
// What is counted of a flow in one direction, by its first vantage point there.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace fieldline::analysis {

// Mean and spread without the samples (Welford 1962).
struct RttStats {
  std::uint64_t samples = 0, min_ns = 0, max_ns = 0;
  double mean_ns = 0, squares = 0;  // squares: of the distances from the mean

  void add(std::uint64_t ns) {
    min_ns = samples == 0 ? ns : std::min(min_ns, ns);
    max_ns = std::max(max_ns, ns);
    ++samples;
    const double far = static_cast<double>(ns) - mean_ns;
    mean_ns += far / static_cast<double>(samples);
    squares += far * (static_cast<double>(ns) - mean_ns);
  }
  double stdev_ns() const {
    return samples < 2 ? 0 : std::sqrt(squares / static_cast<double>(samples - 1));
  }
};

// Of packets that this direction's sender sent. Everything behind payload_bytes is TCP's.
struct FlowCounts {
  std::uint64_t packets = 0, data_packets = 0;  // data: with payload
  std::uint64_t payload_bytes = 0;              // each time that they were sent
  std::uint64_t again_packets = 0;              // see Sending::Kind
  std::uint64_t again_bytes = 0;                // payload that had been sent before
  std::uint64_t late_packets = 0, copies = 0;
  std::uint64_t keep_alives = 0, window_probes = 0;
  std::uint64_t extra_bytes = 0;     // payload of copies and probes
  std::uint64_t acks = 0;            // that carry nothing else
  std::uint64_t duplicate_acks = 0;  // RFC 5681, 2; not of a closed window
  std::uint64_t sacks = 0, zero_windows = 0, syns = 0, fins = 0, resets = 0;
  std::uint64_t first_ns = 0, last_ns = 0;
  RttStats rtt;  // of data sent once, as acknowledgements end with it
  // Of what timestamps are echoed, also of data that was sent again.
  RttStats rtt_echoed;

  std::uint64_t unique_bytes() const { return payload_bytes - again_bytes - extra_bytes; }
};

// Packets that are of no flow with counts of its own.
struct OtherCounts {
  std::uint64_t packets = 0, payload_bytes = 0;
};

}  // namespace fieldline::analysis
