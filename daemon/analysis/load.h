// SPDX-License-Identifier: Apache-2.0
// How busy a vantage point was with others' traffic: what its ports carried (port totals) less what
// of it is the run's own (header records).
#pragma once

#include <cstdint>
#include <optional>

#include "base/port_totals.h"

namespace fieldline::analysis {

// From a point's first record to its last, as far as totals tell of that time.
struct Load {
  std::uint64_t from_ns = 0, to_ns = 0;
  std::uint64_t covered_ns = 0, periods = 0;
  PortTotal port, own;               // packets and bytes in the periods
  double p99_bps = 0, peak_bps = 0;  // others', of the periods; of several ports, the busiest one's
  std::optional<double> link_bps;    // none: not known

  void add(const Load& other);  // another port of the point
  double own_bps() const { return rate(own.bytes); }
  double others_bps() const { return port.bytes > own.bytes ? rate(port.bytes - own.bytes) : 0; }

 private:
  double rate(std::uint64_t bytes) const;
};

}  // namespace fieldline::analysis
