// SPDX-License-Identifier: Apache-2.0
// The records of a trace in the order of time: a merge of its CPUs' streams, and of several traces.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "magnet/timeline.h"
#include "magnet/trace_reader.h"

namespace fieldline::magnet {

struct Event {
  magnet_record_ext record{};  // timestamp: cycles
  Instant when;
  unsigned cpu = 0;
  bool has_extension = false;
  std::size_t trace = 0;  // which of several
};

// One trace. Holds what the rings of two rounds held: when a round begins, each ring has been
// emptied once since the round before the last began, so that nothing older can follow.
class TraceEvents {
 public:
  static Result<TraceEvents> open(std::unique_ptr<File> file);

  Result<std::optional<Event>> next();

  const TraceReader& reader() const { return reader_; }
  // Given after one of a later time: the file's writer did not keep its rounds, or the clock did.
  std::uint64_t out_of_order() const { return late_; }

 private:
  static constexpr std::size_t kMostHeld = 2'000'000;
  // The order of a trace's records: counters rise until they begin anew, as after the machine's
  // sleep.
  struct Mark {
    std::uint32_t life = 0;
    std::uint64_t cycles = 0;
    auto operator<=>(const Mark&) const = default;
  };
  struct Held {
    Mark at;
    Event event;
  };
  struct Stream {
    unsigned cpu = 0;
    std::deque<Held> events;
    ClockPair last{};  // of this life
  };

  explicit TraceEvents(TraceReader reader)
      : reader_(std::move(reader)),
        timeline_(reader_.header().cycles_khz),
        former_(reader_.header().cycles_khz) {}
  void take(const Batch& batch);
  void begin_round(const Batch& batch);
  void begin_life();
  Held hold(const Batch& batch, std::size_t index) const;
  Stream& stream_of(unsigned cpu);
  Stream* earliest();

  TraceReader reader_;
  Timeline timeline_, former_;  // of this life, and of the one before
  std::vector<Stream> streams_;
  std::size_t held_ = 0;
  bool ended_ = false, begun_ = false;
  std::uint32_t round_ = 0, life_ = 0;
  Mark round_began_, round_before_began_;
  Mark settled_;  // every record up to here has been read
  Mark last_given_;
  std::uint64_t late_ = 0;
};

// Several traces, perhaps of several hosts, by UTC.
class MergedEvents {
 public:
  explicit MergedEvents(std::vector<TraceEvents> traces);

  Result<std::optional<Event>> next();
  const std::vector<TraceEvents>& traces() const { return traces_; }

 private:
  std::vector<TraceEvents> traces_;
  std::vector<std::optional<Event>> heads_;
  bool primed_ = false;
};

}  // namespace fieldline::magnet
