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
  for (auto& ring : rings_.rings()) {
    timeline_.add(ring.cpu(), Ring::pair_of(ring.at_open()));
    skip_older(ring);
    states_.push_back({});
  }
}

// What stands unread at open was recorded for whoever had the rings before, or for nobody. At most
// a ring's worth: garbage that says it is old does not keep this busy.
void ModuleEvents::skip_older(Ring& ring) {
  for (std::size_t looked = 0; looked < ring.slots();) {
    const std::size_t count = ring.copy(copied_);
    std::size_t old = 0;
    for (; old < count; ++old) {
      magnet_record record;
      std::memcpy(&record, copied_.data() + old * ring.record_size(), sizeof record);
      if (record.timestamp > ring.at_open().cycles) break;
    }
    ring.release(old);
    skipped_ += old;
    looked += old;
    if (old == 0 || old < count) return;
  }
}

Result<ModuleEvents> ModuleEvents::open(Devices& devices, std::string state_path) {
  auto rings = RingSet::open(devices);
  if (!rings) return rings.error();
  return ModuleEvents(std::move(*rings), std::move(state_path));
}

Result<std::size_t> ModuleEvents::drain(const OnBatch& on_batch) {
  std::size_t drained = 0;
  for (std::size_t i = 0; i < rings_.rings().size(); ++i) {
    auto count = drain_ring(rings_.rings()[i], states_[i], on_batch);
    if (!count) return count.error();
    drained += *count;
  }
  return drained;
}

// At most as many as stand in a ring: a busy CPU does not keep the others waiting.
Result<std::size_t> ModuleEvents::drain_ring(Ring& ring, RingState& state,
                                             const OnBatch& on_batch) {
  std::size_t drained = 0, given = 0;
  while (drained < ring.slots()) {
    const std::size_t count = ring.copy(copied_);
    if (count == 0) break;
    auto info = ring.info();
    if (!info) return info.error();
    timeline_.add(ring.cpu(), Ring::pair_of(*info));
    const std::size_t kept = convert(ring, count, info->lost - ring.at_open().lost, state);
    ring.release(count);
    drained += count;
    given += kept;
    if (kept != 0) {
      on_batch({ring.cpu(), ring.record_size() == sizeof(magnet_record_ext),
                std::span(converted_).first(kept)});
    }
    if (count < kAtOnce) break;
  }
  if (drained == 0 && ++state.empty_drains % kRecoverEvery == 0) {
    auto moved = ring.recover();
    if (!moved) return moved.error();
  }
  return given;
}

// From copied_ into converted_; SYSINFO stands in slot 0 alone, which no reader copies, and a
// record of that code in the ring is garbage that somebody wrote there. `lost`: by this ring since
// it was opened; a MAGNET_LOST record may tell of earlier ones as well, which are not for us.
std::size_t ModuleEvents::convert(const Ring& ring, std::size_t count, std::uint64_t lost,
                                  RingState& state) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count; ++i) {
    auto& record = converted_[kept];
    record = {};
    std::memcpy(&record, copied_.data() + i * ring.record_size(), ring.record_size());
    record.head.timestamp = timeline_.at(ring.cpu(), record.head.timestamp).utc_ns;
    if (record.head.event == MAGNET_LOST && !own_losses(ring, record, lost, state)) continue;
    if (record.head.event != MAGNET_SYSINFO) ++kept;
  }
  return kept;
}

// False: it tells of nothing but what was lost before the open. Its `first` becomes UTC.
bool ModuleEvents::own_losses(const Ring& ring, magnet_record_ext& record, std::uint64_t lost,
                              RingState& state) {
  const std::uint64_t untold = lost > state.told ? lost - state.told : 0;
  const auto size = static_cast<std::uint64_t>(std::max(record.head.size, 0));
  const std::uint64_t own = std::min(size, untold);
  if (own == 0) return false;
  state.told += own;
  record.head.size = static_cast<std::int32_t>(own);
  const std::uint64_t first = std::max(record.ext.lost.first, ring.at_open().cycles);
  if (ring.record_size() == sizeof record && record.ext.lost.first != 0)
    record.ext.lost.first = timeline_.at(ring.cpu(), first).utc_ns;
  return true;
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
