// SPDX-License-Identifier: Apache-2.0
#include "magnet/module_events.h"

#include <algorithm>
#include <cstring>

#include "magnet/accounting.h"

namespace fieldline::magnet {

namespace {
constexpr std::size_t kAtOnce = 4096;    // records
constexpr unsigned kRecoverEvery = 256;  // empty looks at a ring: to ask the device costs a call
}  // namespace

ModuleEvents::ModuleEvents(RingSet rings, std::string state_path)
    : rings_(std::move(rings)),
      state_path_(std::move(state_path)),
      timeline_(rings_.cycles_khz()),
      copied_(kAtOnce * rings_.record_size()),
      converted_(kAtOnce) {
  for (const auto& ring : rings_.rings()) timeline_.add(ring.cpu(), Ring::pair_of(ring.at_open()));
}

Result<ModuleEvents> ModuleEvents::open(Devices& devices, std::string state_path) {
  auto rings = RingSet::open(devices);
  if (!rings) return rings.error();
  return ModuleEvents(std::move(*rings), std::move(state_path));
}

Result<std::size_t> ModuleEvents::drain(const OnBatch& on_batch) {
  std::size_t drained = 0;
  for (auto& ring : rings_.rings()) {
    auto count = drain_ring(ring, on_batch);
    if (!count) return count.error();
    drained += *count;
  }
  return drained;
}

// At most as many as stand in a ring: a busy CPU does not keep the others waiting.
Result<std::size_t> ModuleEvents::drain_ring(Ring& ring, const OnBatch& on_batch) {
  std::size_t drained = 0, given = 0;
  while (drained < ring.slots()) {
    const std::size_t count = ring.copy(copied_);
    if (count == 0) break;
    auto info = ring.info();
    if (!info) return info.error();
    timeline_.add(ring.cpu(), Ring::pair_of(*info));
    const std::size_t kept = convert(ring, count);
    ring.release(count);
    drained += count;
    given += kept;
    if (kept != 0) {
      on_batch({ring.cpu(), ring.record_size() == sizeof(magnet_record_ext),
                std::span(converted_).first(kept)});
    }
    if (count < kAtOnce) break;
  }
  if (drained == 0 && ++empty_drains_ % kRecoverEvery == 0) {
    auto moved = ring.recover();
    if (!moved) return moved.error();
  }
  return given;
}

// From copied_ into converted_; SYSINFO stands in slot 0 alone, which no reader copies, and a
// record of that code in the ring is garbage that somebody wrote there.
std::size_t ModuleEvents::convert(const Ring& ring, std::size_t count) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count; ++i) {
    auto& record = converted_[kept];
    record = {};
    std::memcpy(&record, copied_.data() + i * ring.record_size(), ring.record_size());
    record.head.timestamp = timeline_.at(ring.cpu(), record.head.timestamp).utc_ns;
    if (record.head.event != MAGNET_SYSINFO) ++kept;
  }
  return kept;
}

std::vector<std::string> ModuleEvents::absent() const {
  auto state = read_module_state(state_path_);
  return state ? state->absent() : std::vector<std::string>();
}

Result<Accounting> ModuleEvents::accounting() const {
  auto state = read_module_state(state_path_);
  if (!state) return state.error();
  Accounting sum;
  for (const auto& ring : state->rings) {
    sum.recorded += ring.recorded;
    sum.lost += ring.lost;
  }
  sum.missed = state->missed();
  return sum;
}

std::vector<int> ModuleEvents::descriptors() const {
  std::vector<int> all;
  for (const auto& ring : rings_.rings()) all.push_back(ring.descriptor());
  return all;
}

}  // namespace fieldline::magnet
