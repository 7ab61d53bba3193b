// SPDX-License-Identifier: Apache-2.0
// The one core: joins the header records of a run across its vantage points while they come, and
// keeps of its packets only those that are under way. A value: a report of a running run is made
// from a copy that is finished.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "analysis/flow_stats.h"
#include "analysis/in_order.h"
#include "analysis/port_loads.h"
#include "analysis/receiver_evidence.h"
#include "analysis/retransmissions.h"
#include "analysis/sender_holes.h"
#include "analysis/sequence_series.h"
#include "analysis/way.h"
#include "analysis/wire_sender.h"

namespace fieldline::analysis {

class Matcher {
 public:
  Matcher(const FlowTable& flows, Limits limits)
      : flows_(&flows),
        limits_(limits),
        ways_{Way(false, limits.patience_ns), Way(true, limits.patience_ns)} {}

  // A session of a vantage point that may have records.
  void open(const VantageKey& key, const std::string& session);
  std::uint32_t lane_of(const VantageKey& key, bool reverse);  // a new one on first use
  Lane& lane(std::uint32_t number, bool reverse) { return ways_[reverse].lane(number); }
  void see(std::uint32_t lane, bool reverse, Sighting sighting);
  // One that joins with nothing, and for how many packets it stands.
  void see_unjoined(std::uint32_t lane, bool reverse, Sighting sighting, Unjoined why,
                    std::uint64_t packets = 1);
  // A super-packet of the flow was seen: its segments are joined by wire key.
  void go_over(bool reverse, std::uint32_t flow);
  // Judges what no later record can change; cheap to call for each record.
  void advance(const Ledger& ledger);
  // No record will come any more.
  void finish(const Ledger& ledger);
  // After finish(), once.
  Direction direction(bool reverse, const Ledger& ledger, const Loads& loads);

  std::uint64_t records() const;
  const std::vector<Lane>& lanes(bool reverse) const { return ways_[reverse].lanes(); }
  std::size_t held() const;  // sightings
  // More was held than may be: vantage points that were behind were not waited for.
  bool gave_up() const { return gave_up_; }

 private:
  // What one sensor saw in both directions, by its one clock: the evidence of the path's ends.
  struct Passing {
    Sighting sighting;
    std::uint32_t lane = 0;
    bool reverse = false;

    std::uint64_t time() const { return sighting.seen.time; }
  };
  struct Place {
    std::string name;
    InOrder<Passing> queue;
  };
  struct End {
    std::uint32_t first = UINT32_MAX, last = UINT32_MAX;  // ids of the stops that they stand at
    std::optional<SenderHoles> before;
    std::optional<Retransmissions> again;
    std::optional<FlowStats> stats;
    std::optional<SequenceSeries> sequences;  // with Limits::sequences
    std::optional<WireSenders> waits;         // with Limits::waits
    std::optional<ReceiverEvidence> after;
  };
  // Which ends of a path what passes somewhere is evidence of.
  struct Roles {
    bool first = false, last = false;
  };
  using Horizons = std::array<std::int64_t, 2>;

  void queue(std::uint32_t lane, bool reverse, Sighting sighting);

  void order();
  void conclude(const Horizons& horizons, const Ledger& ledger);
  void settle_ends(bool reverse);
  bool assign_roles(std::size_t place);
  std::uint64_t passed_until(std::size_t place, const Horizons& horizons) const;
  void pass_until(std::size_t place, std::uint64_t until);
  void announce(const Passing& one) const;
  void pass(std::span<const Passing> instant);
  void pass_ack(const Passing& one);
  void pass_data(const Passing& one);
  void space(std::uint32_t lane, bool reverse, const Observation& seen);
  std::vector<FlowSpacing> spacing(bool reverse) const;
  Point point_of(const Stop& stop, bool reverse, const Ledger& ledger, const Loads& loads) const;
  Section between(std::size_t at, bool reverse, const std::vector<Point>& points,
                  const Ledger& ledger);

  const FlowTable* flows_;
  Limits limits_;
  bool gave_up_ = false;
  std::array<Way, 2> ways_;
  std::array<End, 2> ends_;
  std::vector<Passing> batch_;  // of what passes now
  std::vector<Place> places_;
  // With Limits::spacing, by lane and flow.
  std::array<std::vector<std::map<std::uint32_t, Spacing>>, 2> spacing_;
  std::array<std::vector<std::size_t>, 2> place_of_;  // by lane
  // Of the place that is looked at: by the direction of the data that is acknowledged there, and of
  // the data itself by lane.
  std::array<Roles, 2> ack_roles_;
  std::array<std::vector<Roles>, 2> data_roles_;
  // A sensor that was restarted has several.
  std::map<VantageKey, std::set<std::string>> sessions_;
  std::uint64_t since_ = 0;  // records since the last conclusion
};

}  // namespace fieldline::analysis
