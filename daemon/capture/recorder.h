// SPDX-License-Identifier: Apache-2.0
// From lifted packets to the header records of each run. A packet is lifted once; here it is fanned
// out to every run that contains it, once, if it is of that run's sample, cut to that run's rights,
// its digest keyed by the run.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/run_id.h"
#include "capture/gaps.h"
#include "proto/digest.h"
#include "proto/flow.h"
#include "proto/frame.h"
#include "proto/lift.h"

namespace fieldline::capture {

// One run's claim on a slot of the flow table.
struct Claim {
  RunId run;
  std::uint8_t direction = FL_FORWARD;  // enum fl_direction
  std::uint16_t snaplen = FL_SNAPLEN_HEADERS;
  std::uint8_t sample_bits = 0;  // FL_SAMPLE_NONE: counted alone
  bool inner = false;            // the right to look inside tunnels
};

// Where a run's records go: `count` records in `body`, as in a header-records frame. False:
// dropped, the spool is full; the recorder counts that.
using Sink = std::function<bool(const RunId& run, std::uint32_t count, ByteView body)>;

// Of one run, port and direction: wire packets, of which a super-packet's one record is several.
// matched = recorded + sampled_out + dropped_spool.
struct PointCounts {
  std::uint64_t matched = 0;  // of what was lifted
  std::uint64_t matched_bytes = 0;
  std::uint64_t sampled_out = 0;  // lifted for others, not of this run's sample
  std::uint64_t recorded = 0;
  std::uint64_t bytes = 0;  // wire length of those recorded
  std::uint64_t dropped_spool = 0;
  std::uint64_t super_packets = 0;  // records of several packets each, of those recorded
};

class Recorder {
 public:
  using Point = std::pair<std::uint16_t, std::uint8_t>;  // port, direction

  explicit Recorder(Sink sink) : sinks_{std::move(sink)} {}
  // A copy of each run for each sink, which takes or drops it on its own.
  explicit Recorder(std::vector<Sink> sinks) : sinks_(std::move(sinks)) {}

  // Replaces the claims of all slots; called when the set of runs changed. A run that has claimed
  // is known, with its counts, until forget().
  using Claims = std::unordered_map<std::uint32_t, std::vector<Claim>>;
  void claim(const Claims& claims);
  // CLOCK_TAI minus UTC, as measured.
  void set_tai_offset_ns(std::uint64_t offset) { tai_offset_ns_ = offset; }

  void on_lift(const fl_lift& lift, ByteView frame);
  // Hands every unfinished batch to the sink; called once per drain of the ring.
  void flush();

  const std::map<Point, PointCounts>& counts(const RunId& run, std::size_t copy = 0) const {
    return copy_of(run, copy).counts;
  }
  // What is handed on from now on is of another session: fresh() and gaps() begin anew.
  void begin_session();
  std::map<Point, PointCounts> fresh(const RunId& run, std::size_t copy) const;
  // When the sink took no more.
  const std::vector<Gap>& gaps(const RunId& run, std::size_t copy = 0) const {
    return copy_of(run, copy).gaps.list();
  }
  void forget(const RunId& run);  // and its claims
  std::size_t size() const { return runs_.size(); }
  std::uint64_t unclaimed() const {
    return unclaimed_;
  }  // lifted, but no run has the slot any more

 private:
  struct Copy {
    std::map<Point, PointCounts> counts;
    std::map<Point, PointCounts> told;  // of them: of earlier sessions
    Gaps gaps;
  };
  struct Run {
    explicit Run(std::size_t copies_kept) : copies(copies_kept) {}

    Bytes batch;
    std::uint32_t batched = 0;
    std::map<Point, PointCounts> in_batch;
    // Of the lift under way: bit d: one of its slots is of direction d. 0 between lifts.
    std::uint8_t directions = 0;
    std::uint64_t from_ns = 0, until_ns = 0;  // of the batch's records
    std::vector<Copy> copies;
  };
  struct Holder {
    Claim claim;
    Run* run;  // of runs_, whose elements stay where they are
  };
  void add(const Holder& holder, const fl_lift& lift, ByteView frame);
  void record(const Holder& holder, std::uint8_t direction, const fl_lift& lift, ByteView frame);
  void flush(const RunId& id, Run& run);
  static void tally(const Run& run, Copy& copy, bool taken);
  const Copy& copy_of(const RunId& run, std::size_t copy) const;

  std::vector<Sink> sinks_;
  std::unordered_map<std::uint32_t, std::vector<Holder>> claims_;
  std::vector<const Holder*> lifted_for_;  // of the lift under way: the first holder of each run
  std::unordered_map<RunId, Run> runs_;
  std::uint64_t tai_offset_ns_ = 0;
  std::uint64_t unclaimed_ = 0;
};

}  // namespace fieldline::capture
