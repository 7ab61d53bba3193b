// SPDX-License-Identifier: Apache-2.0
// What of the kernel's counters, which are flow entries', is one run's own.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "capture/recorder.h"
#include "sense/activation.h"

namespace fieldline::app {

fl_flow_counters plus(const fl_flow_counters& a, const fl_flow_counters& b);
fl_flow_counters minus(const fl_flow_counters& a, const fl_flow_counters& b);

class RunCounts {
 public:
  using Points = std::map<capture::Recorder::Point, capture::PointCounts>;
  using OfSlot = std::function<std::optional<fl_flow_counters>(std::uint32_t slot)>;
  using Directions = std::array<fl_flow_counters, 2>;

  RunCounts(const sense::ActivationTable& table, OfSlot of_slot)
      : table_(table), of_slot_(std::move(of_slot)) {}

  // Once its entries are written. An entry that several runs hold counts for all of them: what was
  // there before the newcomer is not his, and from now on each counts what the recorder gave it.
  void begun(const sense::Activation& activation);
  // packets = lifted + sampled_out + dropped_ring + dropped_read, all of them this run's. points:
  // the recorder's, of the same run and from its begin. Since the session began.
  Directions of(const sense::Activation& activation, const Points& points) const;
  // The session ends: from now until the next one begins of() says what was counted at this moment.
  // That one reading is also where the next session's counts begin, so that what comes in between
  // is of the next, as its records are. So is what is in the ring: a packet counts as lifted in the
  // session that the recorder gives it to. Its bytes may be of the one before; all sums are exact.
  void end_session(const sense::Activation& activation, const Points& points);
  void begin_session();
  void forget(const RunId& run);
  std::size_t size() const {
    return baselines_.size() + ended_.size() + told_.size() + sharing_.size();
  }

 private:
  Directions of_kernel(const sense::Activation& activation) const;
  Directions in_all(const sense::Activation& activation, const Points& points) const;

  const sense::ActivationTable& table_;
  OfSlot of_slot_;
  // Counters of an entry that stood already when the run joined it, by slot.
  std::unordered_map<RunId, std::unordered_map<std::uint32_t, fl_flow_counters>> baselines_;
  std::unordered_map<RunId, Directions> ended_;  // with the session that is being closed
  std::unordered_map<RunId, Directions> told_;   // of earlier sessions
  std::unordered_set<RunId> sharing_;  // runs that hold, or held, a slot together with another
};

}  // namespace fieldline::app
