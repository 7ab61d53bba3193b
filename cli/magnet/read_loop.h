// SPDX-License-Identifier: Apache-2.0
// magnet-read's work: rounds over all rings, each record straight into the mapped trace.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "cli/magnet/pacer.h"
#include "magnet/ring_set.h"
#include "magnet/trace_writer.h"

namespace fieldline::cli {

enum class ReadEnd { stopped, time_over, file_full, device_gone };
const char* end_text(ReadEnd end);

struct ReadCounts {
  std::uint64_t records = 0;   // LOST and SYSINFO not among them
  std::uint64_t lost = 0;      // found no room in a ring while this reader had it
  std::uint64_t repeated = 0;  // stood in the file already: passed over
  std::uint64_t bytes = 0;     // of the trace, heads of batches included
  std::uint64_t rounds = 0;    // that found something
  std::uint64_t elapsed_ns = 0;
  std::uint64_t sleep_ns = 0;      // now
  std::uint64_t fill_time_ns = 0;  // average time to fill the fullest ring; 0: not known
  double fullest = 0;              // highest part of a ring that was found in use
  ReadEnd end = ReadEnd::stopped;
};

struct ReadOptions {
  Pacer pacer = Pacer::automatic();
  std::uint64_t for_ns = 0;  // 0: until it is stopped
  int stop_descriptor = -1;  // readable: end after one more round
  std::function<void(const ReadCounts&)> on_progress;
  std::uint64_t progress_ns = kNanosPerSecond / 4;
};

class ReadLoop {
 public:
  ReadLoop(magnet::RingSet& rings, magnet::TraceWriter& writer, ReadOptions options);

  // Until something ends it. An error is the trace's; what was committed is sound.
  Result<ReadCounts> run();
  const ReadCounts& counts() const { return counts_; }

 private:
  enum class Took { some, nothing, full, gone };
  struct PerRing {
    magnet::ClockPair pair;  // the last that could be had
    std::uint64_t lost = 0;
  };

  void pass_over_stored();
  Result<Took> write_sysinfo();
  Result<Took> round();
  Result<Took> drain(magnet::Ring& ring, PerRing& state);
  Result<void> commit(const magnet::Ring& ring, const PerRing& state, std::size_t count);
  bool refresh(magnet::Ring& ring, PerRing& state);
  void count(std::span<const std::uint8_t> records, const PerRing& state);
  Result<bool> wait(Took took);
  bool pause(std::uint64_t ns);
  std::uint64_t left_ns() const;
  void observe();
  void progress();
  void settle();

  magnet::RingSet& rings_;
  magnet::TraceWriter& writer_;
  ReadOptions options_;
  SystemClock clock_;
  ReadCounts counts_;
  std::vector<PerRing> states_;
  std::uint32_t round_;
  std::uint64_t begun_ = 0, last_round_at_ = 0, last_progress_ = 0, begin_used_ = 0;
  double fill_ = 0;  // of the fullest ring in this round
  bool stopping_ = false;
  bool woken_ = false;  // by the module, and no record was found since
};

}  // namespace fieldline::cli
