// SPDX-License-Identifier: Apache-2.0
// One direction of a run: its lanes, their order along the path, and what each section did to the
// packets.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "analysis/ledger.h"
#include "analysis/order.h"
#include "analysis/vantage.h"
#include "analysis/window.h"

namespace fieldline::analysis {

// A point of the path: one lane, or several of one place that share a load.
struct Stop {
  VantageKey key;  // interfaces joined by +
  std::string name;
  std::vector<std::uint32_t> lanes;

  std::uint32_t id() const { return lanes.front(); }
};

class Way {
 public:
  // patience_ns: how long is waited, by the lanes' clocks, for a place that has shown nothing, or
  // for a lane that shares no packet with another.
  Way(bool reverse, std::uint64_t patience_ns) : reverse_(reverse), patience_ns_(patience_ns) {}

  // A place that may have records of this direction: it is waited for, for a while.
  void expect(const std::string& place) { expected_.insert(place); }
  std::uint32_t lane_of(const VantageKey& key);  // a new one on first use
  Lane& lane(std::uint32_t number) { return lanes_[number]; }
  const std::vector<Lane>& lanes() const { return lanes_; }
  std::size_t held() const { return window_.sights(); }

  // A record of lane(number); its digest is what wire_flows() name it by.
  void see(std::uint32_t lane, const Observation& seen, std::uint8_t rank);
  // Packets that join with nothing.
  void see_unjoined(std::uint32_t lane, std::uint64_t time, Unjoined why, std::uint64_t packets);
  // A super-packet of the flow was seen: its segments are joined by wire key.
  bool go_over(std::uint32_t flow);
  const WireFlows& wire_flows() const { return window_.wire_flows(); }
  // Everything that started its way before this (at_start) has been seen wherever it will be.
  // patient: lanes that are behind, or whose place is not known yet, are waited for.
  std::int64_t horizon(const Ledger& ledger, bool patient) const;
  // Which lanes relate how, and which of them are one stop, from what is under way; order() then
  // puts the stops in order. Both directions learn before either is ordered.
  void learn();
  void order(const Way& opposite);
  // There are lanes that no order knows, or more records than it was learnt from: a quarter more
  // while some lane has no place, else twice as many.
  bool is_to_be_ordered() const;
  // Joins and judges all that is older than the horizon.
  void conclude(std::int64_t horizon, const Ledger& ledger, const FlowTable& flows);

  const std::vector<Stop>& path() const { return path_; }
  Side side(const Stop& stop, const Ledger& ledger) const;
  // The section behind path()[at]; its place and packets are the caller's. The last of this way's
  // life.
  void fill(std::size_t at, const Ledger& ledger, const FlowTable& flows, Section& section);

 private:
  using Ends = std::pair<std::uint32_t, std::uint32_t>;  // ids of stops

  void count(Lane& lane, std::uint64_t time, std::uint64_t packets = 1);
  bool is_waiting() const;
  std::vector<Seat> seats() const;
  void name_stops();
  void place_stops();
  bool meets_another(const Stop& stop) const;
  bool place_beside(std::size_t at, const Stop& placed);
  void place(const Stop& stop, std::int64_t shift);
  std::vector<std::int64_t> shifts() const;
  void join(const Bundle& bundle);
  void group(const Bundle& bundle);
  SectionMatcher& section(std::size_t at) { return sections_[section_at_[at]]; }

  bool reverse_;
  std::uint64_t patience_ns_;
  std::set<std::string> expected_;
  std::vector<Lane> lanes_;
  Window window_;
  Relations relations_;
  std::vector<Stop> stops_;  // in order of their first lane
  std::vector<Stop> path_;
  std::vector<std::size_t> stop_of_;  // by lane: index in path_
  std::size_t ordered_lanes_ = 0;
  std::uint64_t records_ = 0, ordered_records_ = 0;
  std::int64_t concluded_ = INT64_MIN;
  std::vector<SectionMatcher> sections_;
  std::map<Ends, std::size_t> section_numbers_;
  std::vector<std::size_t> section_at_;  // by place in path_: the section behind it

  // Of one bundle, while it is joined.
  struct Pass {
    std::size_t stop;
    std::uint64_t time;

    auto operator<=>(const Pass&) const = default;
  };
  struct Group {
    std::size_t stop;
    Times times;
  };
  std::vector<Pass> passes_;
  std::vector<std::uint64_t> times_;
  std::vector<Group> groups_;
};

}  // namespace fieldline::analysis
