// SPDX-License-Identifier: Apache-2.0
// Appends batches to a trace file through a shared mapping. Records are copied from the ring
// straight into space(), then commit() makes them a batch: its magic is stored last.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/result.h"
#include "magnet/bus_guard.h"
#include "magnet/ring.h"
#include "magnet/trace_file.h"
#include "proto/magnet.h"

namespace fieldline::magnet {

class TraceWriter {
 public:
  // Finds the last sound batch and gives the file all of its blocks, unless it is of another boot;
  // no byte of it changes. One writer at a time. Done before the rings are opened, which fill from
  // then on: a long trace takes its time.
  static Result<TraceWriter> open(const std::string& path);
  // A blank trace becomes that of `session` (this_host() with the rings' geometry); one of the same
  // boot, record size and clock is continued.
  Result<void> begin(const TraceHeader& session);
  TraceWriter(TraceWriter&& other) noexcept;
  TraceWriter& operator=(TraceWriter&&) = delete;
  ~TraceWriter();

  // Room for the records of the next batch; empty: the file is full. After begin().
  std::span<std::uint8_t> space();

  struct Meta {
    unsigned cpu = 0;
    std::uint32_t round = 0;
    ClockPair pair;
    std::uint64_t lost = 0;
  };
  // `count` records stand in space(). `io` if the file's pages could not be had: nothing was
  // committed, and the records are still their ring's.
  Result<void> commit(const Meta& meta, std::size_t count);

  // On disk; with `trim` the file ends behind its last batch.
  Result<void> finish(bool trim);

  std::uint64_t used() const { return at_; }  // bytes, header and batches
  std::uint64_t size() const { return size_; }
  std::uint64_t discarded() const { return discarded_; }  // of a torn end, when opened
  std::uint32_t last_round() const { return last_round_; }

  // How many of the oldest records in a ring (copied to `records`) stand in the file already: an
  // earlier writer may have ended between commit() and giving back the slots. Told rightly only if
  // `records` was not cut short of last_batch() bytes by anything but the ring's end.
  std::size_t last_batch(unsigned cpu) const;  // bytes of its records, as found at open
  std::size_t already_there(unsigned cpu, ByteView records) const;

 private:
  TraceWriter(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  Result<void> check(const TraceHeader& session) const;
  Result<void> claim(const TraceHeader& session);
  Result<void> write_header(const TraceHeader& header);
  Result<void> recover();
  Result<void> map();

  Fd fd_;
  std::string path_;
  std::uint8_t* memory_ = nullptr;
  std::unique_ptr<BusGuard> guard_;
  std::uint64_t size_ = 0, at_ = FL_TRACE_HEADER_SIZE;
  std::uint64_t discarded_ = 0;
  std::uint64_t sequence_ = 0;
  std::uint32_t last_round_ = 0;
  std::size_t record_size_ = sizeof(magnet_record);
  TraceHeader found_;
  std::map<unsigned, Bytes> last_batches_;  // as found at open
};

}  // namespace fieldline::magnet
