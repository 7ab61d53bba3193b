// SPDX-License-Identifier: Apache-2.0
// Reads a trace file in order. Damage is data: what does not check is passed over and reported with
// its place and length, and reading goes on at the next batch that checks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "magnet/ring.h"
#include "magnet/trace_file.h"

namespace fieldline::magnet {

struct Batch {
  std::uint64_t sequence = 0;
  unsigned cpu = 0;
  std::uint32_t round = 0;
  std::uint16_t record_size = 0;
  std::uint64_t lost = 0;
  ClockPair pair;
  std::uint64_t offset = 0;  // of its head in the file
  Bytes bytes;               // the records

  std::size_t count() const { return bytes.size() / record_size; }
  std::uint64_t end() const { return offset + sizeof(fl_trace_batch) + bytes.size(); }
  // With 24-byte records the extension is zero.
  magnet_record_ext record(std::size_t index) const;
};

struct Damage {
  std::uint64_t offset = 0, bytes = 0;
  std::string what;
};

class TraceReader {
 public:
  // `invalid`: no trace at all. `unsupported`: a trace that this version cannot read.
  static Result<TraceReader> open(std::unique_ptr<File> file);

  // With a damaged header: an empty one, and the batches speak for themselves.
  const TraceHeader& header() const { return header_; }

  // The next batch that checks; none at the end. An error is the disk's, never the content's.
  Result<std::optional<Batch>> next();

  // Behind the last batch that next() gave, or behind the header.
  std::uint64_t sound_end() const { return sound_end_; }
  // At the end: behind the last byte that is not zero; greater than sound_end() if it is torn.
  std::uint64_t used_end() const { return used_end_; }
  // The first ones; damaged_bytes() and damages() count all.
  const std::vector<Damage>& damage() const { return damage_; }
  std::uint64_t damages() const { return damages_; }
  std::uint64_t damaged_bytes() const { return damaged_bytes_; }
  // Batches that the numbers say were there.
  std::uint64_t missing_batches() const { return missing_; }

 private:
  explicit TraceReader(std::unique_ptr<File> file) : file_(std::move(file)) {}
  Result<ByteView> window(std::uint64_t offset, std::size_t bytes);
  Result<bool> read_batch(std::uint64_t offset, Batch& batch);
  bool plausible(const fl_trace_batch& head, std::uint64_t offset) const;
  Result<std::optional<Batch>> resynchronise();
  void end();
  Result<std::uint64_t> find_used_end(std::uint64_t from);
  Result<std::uint64_t> next_candidate(std::uint64_t from);
  void report(std::uint64_t offset, std::uint64_t bytes, std::string what);
  void accept(const Batch& batch);

  std::unique_ptr<File> file_;
  TraceHeader header_;
  std::uint64_t size_ = 0;
  std::uint64_t at_ = FL_TRACE_HEADER_SIZE;
  std::uint64_t sound_end_ = FL_TRACE_HEADER_SIZE, used_end_ = FL_TRACE_HEADER_SIZE;
  std::uint64_t last_sequence_ = 0;
  std::uint64_t unsound_ = 0;  // bytes of what looked like a batch and does not check
  bool ended_ = false;
  Bytes buffer_;
  std::uint64_t buffer_at_ = 0;
  std::vector<Damage> damage_;
  std::uint64_t damages_ = 0, damaged_bytes_ = 0, missing_ = 0;
};

}  // namespace fieldline::magnet
