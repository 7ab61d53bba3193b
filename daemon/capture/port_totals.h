// SPDX-License-Identifier: Apache-2.0
// What each port carried, period after period, as differences of the counters that only rise. Pure:
// who reads them when is the caller's.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/port_totals.h"

namespace fieldline::capture {

// All ports' counters at one moment.
struct TotalsReading {
  std::uint64_t utc_ns = 0, mono_ns = 0;
  std::vector<PortTotal> ports;
};

// A period lasts from one reading to the next: one that was late makes a longer period, and none is
// missed. Its begin is UTC, its length CLOCK_MONOTONIC's, so that a clock that was set makes
// neither a period nor a rate wrong.
class PortTotals {
 public:
  PortTotals(const RunId& session, std::vector<std::uint16_t> ports)
      : session_(session), numbers_(std::move(ports)) {}

  // The first reading since the last end() only begins a period.
  void read(TotalsReading reading);
  // Nobody reads on: the next reading is a first one.
  void end() { last_.reset(); }
  // Of what is read from now on; nothing that was read may be left.
  void begin_session(const RunId& session) { session_ = session; }
  std::uint32_t periods() const { return writer_ ? writer_->periods() : 0; }
  std::uint64_t length_ns() const { return length_ns_; }  // of them together
  // The body of a frame with what was read since the last call; empty: nothing was.
  Bytes take();

 private:
  RunId session_;
  std::vector<std::uint16_t> numbers_;
  std::optional<TotalsReading> last_;
  std::optional<TotalsWriter> writer_;
  std::uint64_t length_ns_ = 0;
};

}  // namespace fieldline::capture
