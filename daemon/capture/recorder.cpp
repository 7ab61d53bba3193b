// SPDX-License-Identifier: Apache-2.0
#include "capture/recorder.h"

#include <algorithm>

#include "proto/digest.h"

namespace fieldline::capture {

namespace {

// A batch is one frame: large enough to amortise its head, far below FL_FRAME_MAX.
constexpr std::size_t kBatchBytes = 64 << 10;

}  // namespace

void Recorder::on_lift(const fl_lift& lift, ByteView frame) {
  bool claimed = false;
  for (unsigned i = 0; i < std::min<unsigned>(lift.hits, FL_MASKS_MAX); ++i) {
    auto found = claims_.find(lift.slots[i]);
    if (found == claims_.end()) continue;
    for (const Claim& claim : found->second) {
      claimed = true;
      if (!claims_earlier(claim.run, lift, i)) add(claim, lift, frame);
    }
  }
  if (!claimed) ++unclaimed_;
}

// A run may hold several of the slots that matched (an exact pair and an any-port one): it gets one
// record, by the first.
bool Recorder::claims_earlier(const RunId& run, const fl_lift& lift, unsigned before) const {
  for (unsigned i = 0; i < before; ++i) {
    auto found = claims_.find(lift.slots[i]);
    if (found == claims_.end()) continue;
    for (const Claim& claim : found->second) {
      if (claim.run == run) return true;
    }
  }
  return false;
}

void Recorder::add(const Claim& claim, const fl_lift& lift, ByteView frame) {
  Run& run = runs_[claim.run];
  const std::size_t headers = lift.header_len;
  std::size_t most = claim.snaplen == FL_SNAPLEN_HEADERS ? headers : claim.snaplen;
  ByteView kept = frame.first(std::min(frame.size(), most));

  std::uint16_t flags = claim.direction == FL_REVERSE ? FL_RECORD_REVERSE : 0;
  if (lift.flags & FL_LIFT_CHECKSUM_PARTIAL) flags |= FL_RECORD_CHECKSUM_PARTIAL;
  if (kept.size() < headers) flags |= FL_RECORD_TRUNCATED;
  flags |= static_cast<std::uint16_t>(lift.depth << FL_RECORD_DEPTH_SHIFT) & FL_RECORD_DEPTH;

  fl_header_record head{};
  head.timestamp_ns = big_endian<std::uint64_t>(lift.timestamp_ns - tai_offset_ns_);
  head.digest = big_endian<std::uint64_t>(fl_digest_of_run(claim.run.bytes.data(), lift.digest));
  head.wire_len = big_endian<std::uint32_t>(lift.wire_len);
  head.cap_len = big_endian(static_cast<std::uint16_t>(kept.size()));
  head.port = big_endian<std::uint16_t>(lift.port);
  head.queue = big_endian<std::uint16_t>(lift.queue);
  head.flags = big_endian(flags);
  head.gso_size = big_endian<std::uint16_t>(lift.gso_size);
  head.gso_segs = big_endian<std::uint16_t>(lift.gso_segs);
  append_struct(run.batch, head);
  append(run.batch, kept);
  ++run.batched;

  PointCounts& point = run.in_batch[{lift.port, claim.direction}];
  const std::uint32_t segments = std::max<std::uint32_t>(lift.gso_segs, 1);
  point.matched += segments;
  // Each segment has headers of its own on the wire.
  point.matched_bytes +=
      lift.wire_len + std::uint64_t{segments - 1} * (lift.header_len + lift.tag_len);
  point.super_packets += segments > 1;
  if (run.batch.size() >= kBatchBytes) flush(claim.run, run);
}

void Recorder::flush() {
  for (auto& [id, run] : runs_) flush(id, run);
}

void Recorder::flush(const RunId& id, Run& run) {
  if (run.batched == 0) return;
  bool taken = sink_(id, run.batched, run.batch);
  for (auto& [point, fresh] : run.in_batch) {
    PointCounts& sum = run.counts[point];
    sum.matched += fresh.matched;
    sum.matched_bytes += fresh.matched_bytes;
    (taken ? sum.recorded : sum.dropped_spool) += fresh.matched;
    if (taken) sum.bytes += fresh.matched_bytes;
    if (taken) sum.super_packets += fresh.super_packets;
  }
  run.in_batch.clear();
  run.batch.clear();
  run.batched = 0;
}

const std::map<Recorder::Point, PointCounts>& Recorder::counts(const RunId& run) const {
  static const std::map<Point, PointCounts> none;
  auto found = runs_.find(run);
  return found == runs_.end() ? none : found->second.counts;
}

void Recorder::forget(const RunId& run) {
  runs_.erase(run);
}

}  // namespace fieldline::capture
