// SPDX-License-Identifier: Apache-2.0
#include "app/run_counts.h"

namespace fieldline::app {

fl_flow_counters plus(const fl_flow_counters& a, const fl_flow_counters& b) {
  return {a.packets + b.packets,
          a.bytes + b.bytes,
          a.lifted + b.lifted,
          a.dropped_ring + b.dropped_ring,
          a.dropped_read + b.dropped_read,
          a.sampled_out + b.sampled_out,
          a.sampled_out_bytes + b.sampled_out_bytes};
}

fl_flow_counters minus(const fl_flow_counters& a, const fl_flow_counters& b) {
  return {a.packets - b.packets,
          a.bytes - b.bytes,
          a.lifted - b.lifted,
          a.dropped_ring - b.dropped_ring,
          a.dropped_read - b.dropped_read,
          a.sampled_out - b.sampled_out,
          a.sampled_out_bytes - b.sampled_out_bytes};
}

namespace {

void add_up(RunCounts::Directions& flows) {
  for (fl_flow_counters& flow : flows)
    flow.packets = flow.lifted + flow.sampled_out + flow.dropped_ring + flow.dropped_read;
}

}  // namespace

void RunCounts::begun(const sense::Activation& activation) {
  for (std::uint32_t slot : activation.slots) {
    const auto& shares = table_.shares(slot);
    if (shares.size() < 2) continue;
    for (const auto& share : shares) sharing_.insert(share.run);
    if (auto counters = of_slot_(slot)) baselines_[activation.run][slot] = *counters;
  }
}

RunCounts::Directions RunCounts::of_kernel(const sense::Activation& activation) const {
  Directions flows{};
  auto baselines = baselines_.find(activation.run);
  for (std::uint32_t slot : activation.slots) {
    auto counters = of_slot_(slot);
    if (!counters) continue;
    if (baselines != baselines_.end()) {
      if (auto base = baselines->second.find(slot); base != baselines->second.end())
        *counters = minus(*counters, base->second);
    }
    for (const auto& share : table_.shares(slot)) {
      if (share.run != activation.run) continue;
      // What an entry of both directions dropped is charged to one of them.
      auto& flow = flows[share.direction == FL_REVERSE ? FL_REVERSE : FL_FORWARD];
      flow = plus(flow, *counters);
    }
  }
  return flows;
}

// What was lifted for others and is not of this run's sample is sampled out: the recorder knows.
// Where the kernel's counters are not this run's alone, it knows what was lifted, too; what the
// kernel sampled out there was this run's, because it does so only while one run holds the entry.
RunCounts::Directions RunCounts::in_all(const sense::Activation& activation,
                                        const Points& points) const {
  Directions flows = of_kernel(activation);
  const bool by_recorder = activation.overlap || sharing_.contains(activation.run);
  if (by_recorder) {
    for (fl_flow_counters& flow : flows) {
      flow.lifted = 0;
      flow.bytes = flow.sampled_out_bytes;
    }
  }
  for (const auto& [point, counts] : points) {
    fl_flow_counters& flow = flows[point.second];
    if (by_recorder) {
      flow.lifted += counts.matched;
      flow.bytes += counts.matched_bytes;
    }
    flow.lifted -= counts.sampled_out;
    flow.sampled_out += counts.sampled_out;
  }
  add_up(flows);
  return flows;
}

RunCounts::Directions RunCounts::of(const sense::Activation& activation,
                                    const Points& points) const {
  auto ended = ended_.find(activation.run);
  Directions flows = ended == ended_.end() ? in_all(activation, points) : ended->second;
  auto told = told_.find(activation.run);
  if (told == told_.end()) return flows;
  for (std::size_t way = 0; way < flows.size(); ++way)
    flows[way] = minus(flows[way], told->second[way]);
  return flows;
}

void RunCounts::end_session(const sense::Activation& activation, const Points& points) {
  Directions flows = in_all(activation, points);
  for (fl_flow_counters& flow : flows) flow.lifted = 0;
  for (const auto& [point, counts] : points)
    flows[point.second].lifted += counts.matched - counts.sampled_out;
  add_up(flows);
  ended_[activation.run] = flows;
}

void RunCounts::begin_session() {
  for (const auto& [run, flows] : ended_) told_[run] = flows;
  ended_.clear();
}

void RunCounts::forget(const RunId& run) {
  baselines_.erase(run);
  ended_.erase(run);
  told_.erase(run);
  sharing_.erase(run);
}

}  // namespace fieldline::app
