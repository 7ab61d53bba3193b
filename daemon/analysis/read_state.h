// SPDX-License-Identifier: Apache-2.0
// Whether the application at one TCP socket reads what has come, moment by moment.
#pragma once

#include <cstdint>
#include <optional>

#include "analysis/time_bins.h"
#include "proto/event.h"

namespace fieldline::analysis {

struct ReadBin {
  std::uint64_t from_ns = 0;
  std::uint64_t waiting_ns = 0;  // much of the buffer was full of what nobody read
  std::uint64_t known_ns = 0;

  void merge(const ReadBin& other) {
    waiting_ns += other.waiting_ns;
    known_ns += other.known_ns;
  }
};

struct ReadFacts {
  std::uint64_t reads = 0, read = 0;  // calls that gave bytes, and bytes
  std::uint32_t unread_max = 0;       // bytes
  std::uint32_t receive_buffer = 0;
  std::uint64_t longest_gap_ns = 0;  // between two such calls
  std::uint32_t pid = 0;
  std::uint64_t waiting_ns = 0, known_ns = 0;
};

// Fed in order of time.
class ReadState {
 public:
  explicit ReadState(std::uint64_t interval_ns, std::size_t bins = 4096)
      : bins_(interval_ns, bins) {}

  void see(const magnet_record_ext& record);
  const ReadFacts& facts() const { return facts_; }
  // What share of the time from..to nobody read although much was there; none: it is not known.
  std::optional<double> waiting(std::uint64_t from_ns, std::uint64_t to_ns) const;

 private:
  void elapse(std::uint64_t until_ns);

  TimeBins<ReadBin> bins_;
  ReadFacts facts_;
  std::uint64_t since_ns_ = 0, read_ns_ = 0;
  std::optional<std::uint32_t> came_, read_to_;  // sequences behind what came, and was read
};

}  // namespace fieldline::analysis
