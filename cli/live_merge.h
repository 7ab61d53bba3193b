// SPDX-License-Identifier: Apache-2.0
// A followed answer as it may be written while more of it comes: the packets of all vantage points
// in one order of time. Sessions reach the archive with different delays, so a packet waits until
// each session that is on has given something later, and no longer than a limit. What comes after
// its place in the order was passed is late: written all the same, and counted. Pure: time is an
// argument.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "analysis/in_order.h"
#include "base/pcapng.h"
#include "base/result.h"
#include "cli/run_life.h"

namespace fieldline::cli {

struct MergeLimits {
  std::uint64_t wait_ns = 500'000'000;
  std::size_t held_bytes = 64 << 20;  // what is over goes, in order, however little it has waited
};

struct MergeCounts {
  std::uint64_t received = 0;  // packets of the answer = written + those that are held
  std::uint64_t written = 0;
  std::uint64_t late = 0;  // of those written: out of the order of time
};

class LiveMerge {
 public:
  explicit LiveMerge(const MergeLimits& limits) : limits_(limits) {}

  // Bytes of the answer, as they came, and when (monotonic). After an error nothing more is taken.
  Result<void> feed(ByteView bytes, std::uint64_t now_ns);
  // Nothing more will come: all that is held may be written.
  void end() { ended_ = true; }

  // Appends whole blocks that may be written by now, about `most` bytes of them; true if there may
  // be more.
  bool drain(std::uint64_t now_ns, Bytes& to, std::size_t most);
  // The statistics of each interface; the last.
  void finish(Bytes& to) const;

  // When drain() may give more although nothing came; no value: nothing is held.
  std::optional<std::uint64_t> due_ns() const;
  bool is_full() const { return held_bytes_ >= limits_.held_bytes; }
  const MergeCounts& counts() const { return counts_; }
  std::size_t interfaces() const { return points_.size(); }

  const RunLife& life() const { return life_; }

 private:
  struct Session {
    bool on = false;              // packets may come of it
    std::uint64_t newest_ns = 0;  // of its packets
  };
  struct Point {
    std::string session;
    std::uint64_t written = 0, last_ns = 0;
  };
  struct Held {
    std::uint64_t timestamp_ns = 0;
    std::uint32_t point = 0;
    Bytes block;
    std::uint64_t time() const { return timestamp_ns; }
  };
  // What came at one time: nothing of it, or before it, is held longer than the limit.
  struct Arrival {
    std::uint64_t at_ns = 0, newest_ns = 0;
  };

  Result<void> take(const pcapng::Block& block, std::uint64_t now_ns);
  void take(const pcapng::Interface& interface);
  Result<void> take(const pcapng::Packet& packet, std::uint64_t now_ns);
  void take(const pcapng::Report& report, std::uint64_t now_ns);
  std::uint64_t may_go_before(std::uint64_t now_ns) const;

  const MergeLimits limits_;
  pcapng::Reader reader_;
  Bytes heads_;  // section and interfaces that are not written yet
  bool begun_ = false, ended_ = false;
  RunLife life_;
  std::map<std::string, Session> sessions_;  // by id
  std::vector<Point> points_;                // by the number of their interface
  analysis::InOrder<Held> held_;
  std::size_t held_bytes_ = 0;
  std::deque<Arrival> arrivals_;
  std::uint64_t written_until_ns_ = 0;
  MergeCounts counts_;
};

}  // namespace fieldline::cli
