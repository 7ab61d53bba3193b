// SPDX-License-Identifier: Apache-2.0
#include "capture/port_totals.h"

#include <cassert>

namespace fieldline::capture {

namespace {

// A counter that is lower than before began anew in between.
std::uint64_t risen(std::uint64_t from, std::uint64_t to) {
  return to >= from ? to - from : to;
}

}  // namespace

void PortTotals::read(TotalsReading reading) {
  assert(reading.ports.size() == numbers_.size());
  if (!last_) {
    last_ = std::move(reading);
    return;
  }
  if (reading.mono_ns <= last_->mono_ns) return;
  std::vector<PortTotal> totals;
  for (std::size_t i = 0; i < numbers_.size(); ++i) {
    const PortTotal &from = last_->ports[i], &to = reading.ports[i];
    totals.push_back({risen(from.packets, to.packets), risen(from.bytes, to.bytes)});
  }
  if (!writer_) writer_.emplace(session_, numbers_);
  writer_->add({last_->utc_ns, reading.mono_ns - last_->mono_ns}, totals);
  length_ns_ += reading.mono_ns - last_->mono_ns;
  last_ = std::move(reading);
}

Bytes PortTotals::take() {
  if (!writer_) return {};
  const ByteView body = writer_->end();
  Bytes taken(body.begin(), body.end());
  writer_.reset();
  length_ns_ = 0;
  return taken;
}

}  // namespace fieldline::capture
