// SPDX-License-Identifier: Apache-2.0
#include "analysis/matcher.h"

#include <algorithm>

namespace fieldline::analysis {
namespace {

constexpr std::uint64_t kEvery = 1024;     // records between two conclusions
constexpr std::size_t kBatch = 16;         // packets whose flows are announced together
constexpr std::size_t kSpacedMost = 4096;  // flows whose spacing is kept

}  // namespace

void Matcher::open(const VantageKey& key, const std::string& session) {
  sessions_[key].insert(session);
  for (const bool reverse : {false, true}) ways_[reverse].expect(key.place());
}

std::uint32_t Matcher::lane_of(const VantageKey& key, bool reverse) {
  const std::uint32_t lane = ways_[reverse].lane_of(key);
  auto& place_of = place_of_[reverse];
  if (lane < place_of.size()) return lane;
  const std::string name = key.place();
  const auto found = std::find_if(places_.begin(), places_.end(),
                                  [&](const Place& place) { return place.name == name; });
  place_of.push_back(static_cast<std::size_t>(found - places_.begin()));
  if (found == places_.end()) places_.push_back({name, {}});
  return lane;
}

void Matcher::see(std::uint32_t lane, bool reverse, Sighting sighting) {
  sighting.seen.digest = ways_[reverse].wire_flows().name(sighting.seen);
  ways_[reverse].see(lane, sighting.seen, sighting.rank);
  queue(lane, reverse, std::move(sighting));
}

void Matcher::see_unjoined(std::uint32_t lane, bool reverse, Sighting sighting, Unjoined why,
                           std::uint64_t packets) {
  ways_[reverse].see_unjoined(lane, sighting.seen.time, why, packets);
  queue(lane, reverse, std::move(sighting));
}

void Matcher::queue(std::uint32_t lane, bool reverse, Sighting sighting) {
  if (limits_.spacing) space(lane, reverse, sighting.seen);
  places_[place_of_[reverse][lane]].queue.push({std::move(sighting), lane, reverse});
  ++since_;
}

// What passes the ends later passes under the name that its sections know it by.
void Matcher::go_over(bool reverse, std::uint32_t flow) {
  if (!ways_[reverse].go_over(flow)) return;
  const WireFlows& wire_flows = ways_[reverse].wire_flows();
  for (Place& place : places_) {
    place.queue.for_each([&](Passing& one) {
      if (one.reverse == reverse) one.sighting.seen.digest = wire_flows.name(one.sighting.seen);
    });
  }
}

// A place's records come in order of time, but for a clock that is set back.
void Matcher::space(std::uint32_t lane, bool reverse, const Observation& seen) {
  if (seen.payload == 0 || seen.flow == FlowTable::kNone) return;
  auto& lanes = spacing_[reverse];
  if (lane >= lanes.size()) lanes.resize(lane + std::size_t{1});
  auto& flows = lanes[lane];
  if (flows.size() < kSpacedMost || flows.contains(seen.flow))
    flows[seen.flow].see(seen.time, seen.payload);
}

std::uint64_t Matcher::records() const {
  std::uint64_t records = 0;
  for (const Way& way : ways_) {
    for (const Lane& lane : way.lanes()) records += lane.records;
  }
  return records;
}

std::size_t Matcher::held() const {
  return ways_[0].held() + ways_[1].held();
}

void Matcher::advance(const Ledger& ledger) {
  if (since_ < kEvery) return;
  since_ = 0;
  if (ways_[0].is_to_be_ordered() || ways_[1].is_to_be_ordered()) order();
  const bool patient = held() <= limits_.held_max;
  gave_up_ |= !patient;
  conclude({ways_[0].horizon(ledger, patient), ways_[1].horizon(ledger, patient)}, ledger);
}

void Matcher::finish(const Ledger& ledger) {
  order();
  conclude({INT64_MAX, INT64_MAX}, ledger);
}

void Matcher::order() {
  for (Way& way : ways_) way.learn();
  for (const bool reverse : {false, true}) ways_[reverse].order(ways_[!reverse]);
}

void Matcher::conclude(const Horizons& horizons, const Ledger& ledger) {
  for (const bool reverse : {false, true}) {
    ways_[reverse].conclude(horizons[reverse], ledger, *flows_);
    settle_ends(reverse);
  }
  for (std::size_t place = 0; place < places_.size(); ++place) {
    const std::uint64_t until = passed_until(place, horizons);
    if (assign_roles(place)) {
      pass_until(place, until);
    } else {
      places_[place].queue.drain(until, [](const Passing&) {});
    }
  }
}

// In batches; what passed at a batch's last instant waits for the rest of that instant.
void Matcher::pass_until(std::size_t place, std::uint64_t until) {
  batch_.clear();
  std::size_t waiting = 0;
  for (bool more = true; more;) {
    more = places_[place].queue.drain(
        until,
        [this](Passing& one) {
          announce(one);
          batch_.push_back(std::move(one));
        },
        kBatch);
    std::size_t begin = 0, end = waiting;
    while (begin < batch_.size()) {
      while (end < batch_.size() && batch_[end].time() == batch_[begin].time()) ++end;
      if (more && end == batch_.size()) break;
      pass(std::span(batch_).subspan(begin, end - begin));
      begin = end;
    }
    batch_.erase(batch_.begin(), batch_.begin() + static_cast<std::ptrdiff_t>(begin));
    waiting = batch_.size();
  }
}

void Matcher::announce(const Passing& one) const {
  const std::uint32_t flow = one.sighting.seen.flow;
  for (const bool acks : {true, false}) {
    const bool reverse = acks ? !one.reverse : one.reverse;
    const Roles roles = acks ? ack_roles_[reverse] : data_roles_[reverse][one.lane];
    const End& end = ends_[reverse];
    if (roles.first) {
      end.before->announce(flow);
      end.again->announce(flow);
      end.stats->announce(flow);
    }
    if (roles.last) end.after->announce(flow);
  }
}

// The evidence of an end is that of the stop which stands there; another one begins anew.
void Matcher::settle_ends(bool reverse) {
  End& end = ends_[reverse];
  const auto& path = ways_[reverse].path();
  if (path.empty()) return;
  if (end.first != path.front().id()) {
    end.before.emplace(*flows_, reverse);
    end.again.emplace(*flows_, reverse);
    end.stats.emplace(*flows_);
    if (limits_.sequences) end.sequences.emplace(*flows_);
    if (limits_.waits) end.waits.emplace(*flows_, reverse, limits_.interval_ns);
  }
  if (end.last != path.back().id()) end.after.emplace(*flows_, reverse);
  end.first = path.front().id();
  end.last = path.back().id();
}

// By the place's clock: what is older has come, in both directions.
std::uint64_t Matcher::passed_until(std::size_t place, const Horizons& horizons) const {
  std::uint64_t until = UINT64_MAX;
  for (const bool reverse : {false, true}) {
    const auto& place_of = place_of_[reverse];
    for (std::uint32_t at = 0; at < place_of.size(); ++at) {
      if (horizons[reverse] == INT64_MAX || place_of[at] != place) continue;
      const std::int64_t here =
          horizons[reverse] == INT64_MIN ? 0 : horizons[reverse] + ways_[reverse].lanes()[at].shift;
      until = std::min(until, static_cast<std::uint64_t>(std::max<std::int64_t>(here, 0)));
    }
  }
  return until;
}

// False: nothing that passes at the place is evidence of an end.
bool Matcher::assign_roles(std::size_t place) {
  bool any = false;
  for (const bool reverse : {false, true}) {
    const auto& path = ways_[reverse].path();
    auto& data = data_roles_[reverse];
    data.assign(place_of_[reverse].size(), {});
    ack_roles_[reverse] = {};
    if (path.empty()) continue;
    const Stop &first = path.front(), &last = path.back();
    ack_roles_[reverse] = {place_of_[reverse][first.id()] == place,
                           place_of_[reverse][last.id()] == place};
    any |= ack_roles_[reverse].first || ack_roles_[reverse].last;
    for (const std::uint32_t lane : first.lanes) data[lane].first = true;
    for (const std::uint32_t lane : last.lanes) data[lane].last = true;
  }
  return any;
}

// What passed at one instant: an acknowledgement counts as earlier than data.
void Matcher::pass(std::span<const Passing> instant) {
  for (const Passing& one : instant) pass_ack(one);
  for (const Passing& one : instant) pass_data(one);
}

void Matcher::pass_ack(const Passing& one) {
  const Roles roles = ack_roles_[!one.reverse];
  End& end = ends_[!one.reverse];
  if (roles.first) {
    const Acknowledged acknowledged = end.again->see_ack(one.sighting);
    end.before->see_ack(one.sighting.seen, acknowledged);
    end.stats->see_opposite(one.sighting, acknowledged);
    if (end.sequences) end.sequences->see_ack(one.sighting.seen);
    if (end.waits) end.waits->see_ack(one.sighting, acknowledged);
  }
  if (roles.last) end.after->see_ack(one.sighting);
}

void Matcher::pass_data(const Passing& one) {
  const Roles roles = data_roles_[one.reverse][one.lane];
  End& end = ends_[one.reverse];
  if (roles.first) {
    end.before->see(one.sighting.seen);
    const Sending sending = end.again->see(one.sighting.seen);
    end.stats->see(one.sighting, sending);
    if (end.sequences) end.sequences->see(one.sighting.seen, sending);
    if (end.waits) end.waits->see(one.sighting, sending);
  }
  if (roles.last) end.after->see(one.sighting.seen);
}

}  // namespace fieldline::analysis
