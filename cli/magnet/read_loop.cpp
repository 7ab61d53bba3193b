// SPDX-License-Identifier: Apache-2.0
#include "cli/magnet/read_loop.h"

#include <poll.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

namespace fieldline::cli {

namespace {

// An idle reader looks up so often, for --for and for rings that a forerunner left out of step.
constexpr std::uint64_t kIdleLook = kNanosPerSecond;
constexpr std::uint64_t kForever = std::numeric_limits<std::uint64_t>::max();

timespec time_of(std::uint64_t ns) {
  return {static_cast<time_t>(ns / kNanosPerSecond), static_cast<long>(ns % kNanosPerSecond)};
}

}  // namespace

const char* end_text(ReadEnd end) {
  switch (end) {
    case ReadEnd::stopped:
      return "stopped by a signal";
    case ReadEnd::time_over:
      return "time is over";
    case ReadEnd::file_full:
      return "the file is full";
    case ReadEnd::device_gone:
      return "a device went away";
  }
  return "ended";
}

ReadLoop::ReadLoop(magnet::RingSet& rings, magnet::TraceWriter& writer, ReadOptions options)
    : rings_(rings),
      writer_(writer),
      options_(std::move(options)),
      states_(rings.rings().size()),
      round_(writer.last_round()) {
  for (std::size_t i = 0; i < states_.size(); ++i) {
    const auto& ring = rings_.rings()[i];
    states_[i].pair = magnet::Ring::pair_of(ring.at_open());
    states_[i].lost = ring.at_open().lost;
  }
}

Result<ReadCounts> ReadLoop::run() {
  begun_ = last_round_at_ = clock_.monotonic_ns();
  begin_used_ = writer_.used();
  pass_over_stored();
  auto took = write_sysinfo();
  while (took && (*took == Took::some || *took == Took::nothing)) {
    const bool last = stopping_ || left_ns() == 0;
    took = round();
    if (!took || last || *took == Took::full || *took == Took::gone) break;
    progress();
    if (auto waited = wait(*took); !waited) return waited.error();
  }
  settle();
  if (!took) return took.error();
  counts_.end = *took == Took::full   ? ReadEnd::file_full
                : *took == Took::gone ? ReadEnd::device_gone
                : stopping_           ? ReadEnd::stopped
                                      : ReadEnd::time_over;
  return counts_;
}

// Before anything needs room in the file: of a reader that was killed, a full one holds what its
// rings still show, and the next file would have it again.
void ReadLoop::pass_over_stored() {
  Bytes oldest;
  for (auto& ring : rings_.rings()) {
    oldest.resize(writer_.last_batch(ring.cpu()));
    const std::size_t copied = ring.copy(oldest);
    const ByteView records = ByteView(oldest).first(copied * ring.record_size());
    const std::size_t known = writer_.already_there(ring.cpu(), records);
    ring.skip(known);
    counts_.repeated += known;
  }
}

// The first record of each reader, in a batch of its own: its clock pair is where time begins.
Result<ReadLoop::Took> ReadLoop::write_sysinfo() {
  ++round_;
  for (std::size_t i = 0; i < states_.size(); ++i) {
    const auto& ring = rings_.rings()[i];
    const auto space = writer_.space();
    if (space.empty()) return Took::full;
    std::memcpy(space.data(), &ring.sysinfo(), ring.record_size());
    if (auto done = commit(ring, states_[i], 1); !done) return done.error();
  }
  return Took::some;
}

Result<void> ReadLoop::commit(const magnet::Ring& ring, const PerRing& state, std::size_t count) {
  return writer_.commit({ring.cpu(), round_, state.pair, state.lost}, count);
}

bool ReadLoop::refresh(magnet::Ring& ring, PerRing& state) {
  auto info = ring.info();
  if (!info) return false;
  state.pair = magnet::Ring::pair_of(*info);
  state.lost = info->lost;
  return true;
}

Result<ReadLoop::Took> ReadLoop::round() {
  ++round_;
  fill_ = 0;
  Took all = Took::nothing;
  for (std::size_t i = 0; i < states_.size(); ++i) {
    auto took = drain(rings_.rings()[i], states_[i]);
    if (!took) return took.error();
    if (*took == Took::full || *took == Took::gone) return took;
    if (*took == Took::some) all = Took::some;
  }
  observe();
  return all;
}

// At most what a ring holds: a busy CPU does not keep the others waiting. A record's slot is given
// back when its batch is whole, so that no end of this process loses it.
Result<ReadLoop::Took> ReadLoop::drain(magnet::Ring& ring, PerRing& state) {
  std::size_t drained = 0;
  while (drained < ring.slots()) {
    const auto space = writer_.space();
    if (space.empty()) return Took::full;
    const std::size_t copied = ring.copy(space);
    if (copied == 0) break;
    const auto records = space.first(copied * ring.record_size());
    const bool gone = !refresh(ring, state);
    if (auto done = commit(ring, state, copied); !done) return done.error();
    ring.release(copied);
    count(records, state);
    drained += copied;
    if (gone) return Took::gone;
    if (records.size() < space.size()) break;
  }
  fill_ = std::max(fill_, static_cast<double>(drained) / static_cast<double>(ring.slots()));
  return drained == 0 ? Took::nothing : Took::some;
}

// `state` is of after the copy: a ring that has lost nothing has no mark of it.
void ReadLoop::count(std::span<const std::uint8_t> records, const PerRing& state) {
  const std::size_t size = rings_.record_size();
  if (state.lost == 0) {
    counts_.records += records.size() / size;
    return;
  }
  for (std::size_t at = 0; at < records.size(); at += size) {
    std::uint32_t event = 0;
    std::memcpy(&event, records.data() + at + offsetof(magnet_record, event), sizeof event);
    counts_.records += event == MAGNET_LOST ? 0 : 1;
  }
}

void ReadLoop::observe() {
  const std::uint64_t now = clock_.monotonic_ns();
  if (fill_ > 0) {
    ++counts_.rounds;
    counts_.fullest = std::max(counts_.fullest, fill_);
  }
  options_.pacer.observe(fill_, now - last_round_at_);
  last_round_at_ = now;
}

std::uint64_t ReadLoop::left_ns() const {
  if (options_.for_ns == 0) return kForever;
  const std::uint64_t gone = clock_.monotonic_ns() - begun_;
  return gone >= options_.for_ns ? 0 : options_.for_ns - gone;
}

// True: stop.
bool ReadLoop::pause(std::uint64_t ns) {
  pollfd stop{options_.stop_descriptor, POLLIN, 0};
  const timespec time = time_of(std::min(ns, left_ns()));
  if (::ppoll(&stop, 1, &time, nullptr) > 0) stopping_ = true;
  return stopping_;
}

// After a round: for records where there were none, then for more of them. True: stop.
Result<bool> ReadLoop::wait(Took took) {
  if (took == Took::some) {
    woken_ = false;
    return pause(options_.pacer.sleep_ns());
  }
  std::vector<pollfd> all{{options_.stop_descriptor, POLLIN, 0}};
  for (const auto& ring : rings_.rings()) all.push_back({ring.descriptor(), POLLIN, 0});
  const timespec time = time_of(std::min(kIdleLook, left_ns()));
  const int ready = ::ppoll(all.data(), all.size(), &time, nullptr);
  if (ready < 0 && errno != EINTR) return fail_errno("waiting for records");
  if (ready > 0 && (all[0].revents & POLLIN) != 0) return stopping_ = true;
  // Nothing was found where the module had said that something is, or for a long time.
  for (auto& ring : rings_.rings()) {
    if (ready > 0 && !woken_) break;
    if (auto moved = ring.recover(); !moved) break;  // the next round sees what is wrong
  }
  woken_ = ready > 0;
  last_round_at_ = clock_.monotonic_ns();
  options_.pacer.woken();
  return ready > 0 ? pause(options_.pacer.sleep_ns()) : false;
}

void ReadLoop::progress() {
  const std::uint64_t now = clock_.monotonic_ns();
  if (!options_.on_progress || now - last_progress_ < options_.progress_ns) return;
  last_progress_ = now;
  settle();
  options_.on_progress(counts_);
}

// The counters that are not kept with each record.
void ReadLoop::settle() {
  counts_.lost = 0;
  for (std::size_t i = 0; i < states_.size(); ++i) {
    auto& ring = rings_.rings()[i];
    (void)refresh(ring, states_[i]);
    counts_.lost += states_[i].lost - std::min<std::uint64_t>(states_[i].lost, ring.at_open().lost);
  }
  counts_.bytes = writer_.used() - begin_used_;
  counts_.elapsed_ns = clock_.monotonic_ns() - begun_;
  counts_.sleep_ns = options_.pacer.sleep_ns();
  counts_.fill_time_ns = options_.pacer.fill_time_ns();
}

}  // namespace fieldline::cli
