// SPDX-License-Identifier: Apache-2.0
#include "capture/recorder.h"

#include <algorithm>

#include "proto/digest.h"

namespace fieldline::capture {

namespace {

// A batch is one frame: large enough to amortise its head, far below FL_FRAME_MAX.
constexpr std::size_t kBatchBytes = 64 << 10;

constexpr std::uint8_t kForward = 1 << FL_FORWARD, kReverse = 1 << FL_REVERSE;

std::uint8_t bits_of(std::uint8_t direction) {
  return direction == FL_EITHER ? kForward | kReverse : 1 << direction;
}

// Where entries of both directions match, what goes from the lower address to the higher is
// forward: the same at every sensor, and the two ways of one flow stay apart.
std::uint8_t direction_of(std::uint8_t bits, const fl_lift& lift) {
  if (bits == kForward) return FL_FORWARD;
  if (bits == kReverse) return FL_REVERSE;
  return (lift.flags & FL_LIFT_ASCENDING) != 0 ? FL_FORWARD : FL_REVERSE;
}

}  // namespace

void Recorder::claim(const Claims& claims) {
  claims_.clear();
  for (const auto& [slot, of_slot] : claims) {
    auto& holders = claims_[slot];
    for (const Claim& claim : of_slot)
      holders.push_back({claim, &runs_.try_emplace(claim.run, sinks_.size()).first->second});
  }
}

// A run may hold several of the slots that matched (an exact pair and an any-port one, or those of
// both directions inside one network): it gets one record.
void Recorder::on_lift(const fl_lift& lift, ByteView frame) {
  lifted_for_.clear();
  for (unsigned i = 0; i < std::min<unsigned>(lift.hits, FL_MASKS_MAX); ++i) {
    auto found = claims_.find(lift.slots[i]);
    if (found == claims_.end()) continue;
    for (const Holder& holder : found->second) {
      if (holder.run->directions == 0) lifted_for_.push_back(&holder);
      holder.run->directions |= bits_of(holder.claim.direction);
    }
  }
  if (lifted_for_.empty()) ++unclaimed_;
  for (const Holder* holder : lifted_for_) add(*holder, lift, frame);
}

void Recorder::add(const Holder& holder, const fl_lift& lift, ByteView frame) {
  Run& run = *holder.run;
  const std::uint8_t direction = direction_of(run.directions, lift);
  run.directions = 0;
  PointCounts& point = run.in_batch[{lift.port, direction}];
  const std::uint32_t segments = std::max<std::uint32_t>(lift.gso_segs, 1);
  // Each segment has headers of its own on the wire.
  const std::uint64_t bytes =
      lift.wire_len + std::uint64_t{segments - 1} * (lift.header_len + lift.tag_len);
  point.matched += segments;
  point.matched_bytes += bytes;
  if (!fl_sample_keeps(lift.digest, holder.claim.sample_bits)) {
    point.sampled_out += segments;
    return;
  }
  point.recorded += segments;  // as far as this batch goes
  point.bytes += bytes;
  point.super_packets += segments > 1;
  record(holder, direction, lift, frame);
}

void Recorder::record(const Holder& holder, std::uint8_t direction, const fl_lift& lift,
                      ByteView frame) {
  const Claim& claim = holder.claim;
  Run& run = *holder.run;
  const std::size_t headers = lift.header_len;
  std::size_t most = claim.snaplen == FL_SNAPLEN_HEADERS ? headers : claim.snaplen;
  // What a tunnel carries is another flow's, and may be one that the policy denies.
  if ((lift.flags & FL_LIFT_TUNNEL) && !claim.inner) most = std::min(most, headers);
  ByteView kept = frame.first(std::min(frame.size(), most));

  auto flags = static_cast<std::uint16_t>(fl_sample_rank(lift.digest) << FL_RECORD_RANK_SHIFT);
  if (direction == FL_REVERSE) flags |= FL_RECORD_REVERSE;
  if (lift.flags & FL_LIFT_CHECKSUM_PARTIAL) flags |= FL_RECORD_CHECKSUM_PARTIAL;
  if (kept.size() < headers) flags |= FL_RECORD_TRUNCATED;
  flags |= static_cast<std::uint16_t>(lift.depth << FL_RECORD_DEPTH_SHIFT) & FL_RECORD_DEPTH;

  const std::uint64_t at_ns = lift.timestamp_ns - tai_offset_ns_;
  fl_header_record head{};
  head.timestamp_ns = big_endian(at_ns);
  head.digest = big_endian<std::uint64_t>(fl_digest_of_run(claim.run.bytes.data(), lift.digest));
  head.wire_len = big_endian<std::uint32_t>(lift.wire_len);
  head.cap_len = big_endian(static_cast<std::uint16_t>(kept.size()));
  head.port = big_endian<std::uint16_t>(lift.port);
  head.queue = big_endian<std::uint16_t>(lift.queue);
  head.flags = big_endian(flags);
  head.gso_size = big_endian<std::uint16_t>(lift.gso_size);
  head.gso_segs = big_endian<std::uint16_t>(lift.gso_segs);
  run.from_ns = run.batched == 0 ? at_ns : std::min(run.from_ns, at_ns);
  run.until_ns = run.batched == 0 ? at_ns : std::max(run.until_ns, at_ns);
  append_struct(run.batch, head);
  append(run.batch, kept);
  ++run.batched;
  if (run.batch.size() >= kBatchBytes) flush(claim.run, run);
}

void Recorder::flush() {
  for (auto& [id, run] : runs_) flush(id, run);
}

void Recorder::flush(const RunId& id, Run& run) {
  if (run.in_batch.empty()) return;
  for (std::size_t i = 0; i < sinks_.size(); ++i) {
    const bool taken = run.batched == 0 || sinks_[i](id, run.batched, run.batch);
    tally(run, run.copies[i], taken);
  }
  run.in_batch.clear();
  run.batch.clear();
  run.batched = 0;
}

void Recorder::tally(const Run& run, Copy& copy, bool taken) {
  std::uint64_t dropped = 0;
  for (const auto& [point, fresh] : run.in_batch) {
    PointCounts& sum = copy.counts[point];
    sum.matched += fresh.matched;
    sum.matched_bytes += fresh.matched_bytes;
    sum.sampled_out += fresh.sampled_out;
    (taken ? sum.recorded : sum.dropped_spool) += fresh.recorded;
    if (taken) sum.bytes += fresh.bytes;
    if (taken) sum.super_packets += fresh.super_packets;
    if (!taken) dropped += fresh.recorded;
  }
  if (dropped > 0) copy.gaps.note({run.from_ns, run.until_ns, dropped});
}

void Recorder::begin_session() {
  for (auto& [id, run] : runs_) {
    for (Copy& copy : run.copies) {
      copy.told = copy.counts;
      copy.gaps = {};
    }
  }
}

std::map<Recorder::Point, PointCounts> Recorder::fresh(const RunId& run, std::size_t copy) const {
  const Copy& of_run = copy_of(run, copy);
  auto counts = of_run.counts;
  for (const auto& [point, told] : of_run.told) {
    PointCounts& count = counts[point];
    count.matched -= told.matched;
    count.matched_bytes -= told.matched_bytes;
    count.sampled_out -= told.sampled_out;
    count.recorded -= told.recorded;
    count.bytes -= told.bytes;
    count.dropped_spool -= told.dropped_spool;
    count.super_packets -= told.super_packets;
  }
  return counts;
}

const Recorder::Copy& Recorder::copy_of(const RunId& run, std::size_t copy) const {
  static const Copy none;
  auto found = runs_.find(run);
  return found == runs_.end() ? none : found->second.copies.at(copy);
}

void Recorder::forget(const RunId& run) {
  auto found = runs_.find(run);
  if (found == runs_.end()) return;
  for (auto& [slot, holders] : claims_)
    std::erase_if(holders, [&](const Holder& one) { return one.run == &found->second; });
  runs_.erase(found);
}

}  // namespace fieldline::capture
