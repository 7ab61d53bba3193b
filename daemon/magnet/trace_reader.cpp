// SPDX-License-Identifier: Apache-2.0
#include "magnet/trace_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "proto/magnet.h"

namespace fieldline::magnet {

namespace {

constexpr std::size_t kWindow = 1 << 20;
constexpr std::size_t kReported = 100;
constexpr std::size_t kLongest =
    sizeof(fl_trace_batch) + FL_TRACE_BATCH_RECORDS * sizeof(magnet_record_ext);
static_assert(kWindow > kLongest);
// A head that looks right over records that do not check costs a check sum over the whole batch.
// Damage makes one of a batch, as long as it was unless its count is damaged. A file that is made
// of more than it has bytes for is given up, so that reading it stays linear; so many of the
// longest are free.
constexpr std::uint64_t kFreeHeads = 64;

bool all_zero(ByteView bytes) {
  return bytes.empty() ||
         (bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace

magnet_record_ext Batch::record(std::size_t index) const {
  magnet_record_ext record{};
  std::memcpy(&record, bytes.data() + index * record_size, record_size);
  return record;
}

Result<TraceReader> TraceReader::open(std::unique_ptr<File> file) {
  TraceReader reader(std::move(file));
  auto size = reader.file_->size();
  if (!size) return size.error();
  reader.size_ = *size;
  auto bytes = reader.window(0, sizeof(fl_trace_header));
  if (!bytes) return bytes.error();
  auto header = decode_header(*bytes);
  if (header) {
    reader.header_ = *header;
  } else if (header.error().code == Code::truncated) {
    reader.report(0, sizeof(fl_trace_header), header.error().context);
  } else {
    return header.error();
  }
  return reader;
}

// Up to `bytes` from `offset` on; fewer at the file's end. Valid until the next call.
Result<ByteView> TraceReader::window(std::uint64_t offset, std::size_t bytes) {
  if (offset >= size_) return ByteView{};
  bytes = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, size_ - offset));
  if (offset < buffer_at_ || offset + bytes > buffer_at_ + buffer_.size()) {
    buffer_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kWindow, size_ - offset)));
    buffer_at_ = offset;
    std::size_t used = 0;
    while (used < buffer_.size()) {
      auto n = file_->read_at(offset + used, std::span(buffer_).subspan(used));
      if (!n) return n.error();
      if (*n == 0) break;
      used += *n;
    }
    buffer_.resize(used);  // shorter: the file was cut meanwhile
  }
  const auto from = static_cast<std::size_t>(offset - buffer_at_);
  return ByteView(buffer_).subspan(from, std::min(bytes, buffer_.size() - from));
}

bool TraceReader::plausible(const fl_trace_batch& head, std::uint64_t offset) const {
  const bool size_fits = header_.blank() ? head.record_size == sizeof(magnet_record) ||
                                               head.record_size == sizeof(magnet_record_ext)
                                         : head.record_size == header_.record_size;
  return head.magic == FL_TRACE_BATCH_MAGIC && size_fits && head.count >= 1 &&
         head.count <= FL_TRACE_BATCH_RECORDS && head.sequence > last_sequence_ &&
         offset + sizeof head + std::uint64_t{head.count} * head.record_size <= size_;
}

// True if a batch stands there and checks.
Result<bool> TraceReader::read_batch(std::uint64_t offset, Batch& batch) {
  auto bytes = window(offset, sizeof(fl_trace_batch));
  if (!bytes) return bytes.error();
  fl_trace_batch head{};
  if (bytes->size() < sizeof head) return false;
  std::memcpy(&head, bytes->data(), sizeof head);
  if (!plausible(head, offset)) return false;
  const std::size_t length = std::size_t{head.count} * head.record_size;
  bytes = window(offset, sizeof head + length);
  if (!bytes) return bytes.error();
  if (bytes->size() < sizeof head + length) return false;
  const ByteView records = bytes->subspan(sizeof head);
  if (batch_crc(head, records) != head.crc) {
    unsound_ += sizeof head + length;
    return false;
  }
  batch.sequence = head.sequence;
  batch.cpu = head.cpu;
  batch.round = head.round;
  batch.record_size = head.record_size;
  batch.lost = head.lost;
  batch.pair = {head.cycles, head.tai_ns, head.realtime_ns, head.error_ns};
  batch.offset = offset;
  batch.bytes.assign(records.begin(), records.end());
  return true;
}

void TraceReader::accept(const Batch& batch) {
  missing_ += batch.sequence - last_sequence_ - 1;
  last_sequence_ = batch.sequence;
  at_ = sound_end_ = used_end_ = batch.end();
}

Result<std::optional<Batch>> TraceReader::next() {
  if (at_ >= size_) {
    end();
    return std::optional<Batch>();
  }
  Batch batch;
  auto there = read_batch(at_, batch);
  if (!there) return there.error();
  if (!*there) {
    auto found = resynchronise();
    if (found && !*found) end();
    return found;
  }
  accept(batch);
  return std::optional<Batch>(std::move(batch));
}

// A file keeps the length that its header says; a cut between two batches shows in nothing else.
void TraceReader::end() {
  if (std::exchange(ended_, true) || size_ >= header_.file_size) return;
  report(size_, header_.file_size - size_, "missing: the file was cut");
}

// The next multiple of 8 where a batch's magic stands, or the file's end.
Result<std::uint64_t> TraceReader::next_candidate(std::uint64_t from) {
  constexpr std::uint32_t kMagic = FL_TRACE_BATCH_MAGIC;
  while (from < size_) {
    if (auto there = window(from, FL_TRACE_BATCH_ALIGN); !there) return there.error();
    // All that is held from there on: another window for each candidate would read a file of many
    // again and again.
    const ByteView held = ByteView(buffer_).subspan(static_cast<std::size_t>(from - buffer_at_));
    const std::size_t whole = held.size() / FL_TRACE_BATCH_ALIGN * FL_TRACE_BATCH_ALIGN;
    for (std::size_t i = 0; i < whole; i += FL_TRACE_BATCH_ALIGN) {
      if (std::memcmp(held.data() + i, &kMagic, sizeof kMagic) == 0) return from + i;
    }
    if (whole == 0) break;
    from += whole;
  }
  return size_;
}

// Behind the last byte that is not zero.
Result<std::uint64_t> TraceReader::find_used_end(std::uint64_t from) {
  std::uint64_t end = from;
  for (std::uint64_t at = from; at < size_;) {
    auto bytes = window(at, kWindow);
    if (!bytes) return bytes.error();
    if (bytes->empty()) break;
    if (!all_zero(*bytes)) {
      std::size_t used = bytes->size();
      while ((*bytes)[used - 1] == 0) --used;
      end = at + used;
    }
    at += bytes->size();
  }
  return end;
}

// No batch at at_: zeros up to the end are the end. Else it is damage, up to the next batch that
// checks or the last byte in use.
Result<std::optional<Batch>> TraceReader::resynchronise() {
  const std::uint64_t begin = at_, most = size_ + kFreeHeads * kLongest;
  Batch batch;
  for (std::uint64_t at = begin + FL_TRACE_BATCH_ALIGN; unsound_ <= most;) {
    auto candidate = next_candidate(at);
    if (!candidate) return candidate.error();
    if (*candidate >= size_) break;
    auto there = read_batch(*candidate, batch);
    if (!there) return there.error();
    if (*there) {
      report(begin, *candidate - begin, "does not check");
      accept(batch);
      return std::optional<Batch>(std::move(batch));
    }
    at = *candidate + FL_TRACE_BATCH_ALIGN;
  }
  at_ = size_;
  auto end = find_used_end(begin);
  if (!end) return end.error();
  used_end_ = *end;
  if (*end > begin) {
    report(begin, *end - begin,
           unsound_ <= most ? "a torn or corrupt end" : "too much that does not check");
  }
  return std::optional<Batch>();
}

void TraceReader::report(std::uint64_t offset, std::uint64_t bytes, std::string what) {
  ++damages_;
  damaged_bytes_ += bytes;
  if (damage_.size() < kReported) damage_.push_back({offset, bytes, std::move(what)});
}

}  // namespace fieldline::magnet
