// SPDX-License-Identifier: Apache-2.0
#include "analysis/matcher.h"

#include <algorithm>

namespace fieldline::analysis {
namespace {

constexpr std::uint64_t kEvery = 1024;     // records between two conclusions
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

void Matcher::see(std::uint32_t lane, bool reverse, Sighting sighting, bool joins) {
  const std::uint64_t time = sighting.seen.time;
  if (limits_.spacing) space(lane, reverse, sighting.seen);
  if (joins) {
    ways_[reverse].see(lane, sighting.seen);
  } else {
    ways_[reverse].see_unjoined(lane, time);
  }
  places_[place_of_[reverse][lane]].queue.push(time, {std::move(sighting), lane, reverse});
  ++since_;
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
    std::vector<Passing> instant;
    std::uint64_t now = 0;
    places_[place].queue.drain(passed_until(place, horizons),
                               [&](std::uint64_t time, Passing& one) {
                                 if (time != now) pass(place, instant);
                                 now = time;
                                 instant.push_back(std::move(one));
                               });
    pass(place, instant);
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
    end.sequences.emplace(*flows_);
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

// What passed at one instant: an acknowledgement counts as earlier than data.
void Matcher::pass(std::size_t place, std::vector<Passing>& instant) {
  for (const bool acks : {true, false}) {
    for (const Passing& one : instant) {
      const bool reverse = acks ? !one.reverse : one.reverse;  // of the data in question
      const auto& path = ways_[reverse].path();
      if (path.empty()) continue;
      End& end = ends_[reverse];
      const auto holds = [&](std::size_t stop) {
        const auto& lanes = path[stop].lanes;
        return acks ? place_of_[reverse][path[stop].id()] == place
                    : std::find(lanes.begin(), lanes.end(), one.lane) != lanes.end();
      };
      if (holds(0)) {
        if (acks) end.before->see_ack(one.sighting.seen);
        if (acks) {
          const Acknowledged acknowledged = end.again->see_ack(one.sighting);
          end.stats->see_opposite(one.sighting, acknowledged);
          if (end.waits) end.waits->see_ack(one.sighting, acknowledged);
        }
        if (!acks) end.before->see(one.sighting.seen);
        if (acks) end.sequences->see_ack(one.sighting.seen);
        if (!acks) {
          const Sending sending = end.again->see(one.sighting.seen);
          end.stats->see(one.sighting, sending);
          end.sequences->see(one.sighting.seen, sending);
          if (end.waits) end.waits->see(one.sighting, sending);
        }
      }
      if (holds(path.size() - 1)) {
        if (acks) end.after->see_ack(one.sighting);
        if (!acks) end.after->see(one.sighting.seen);
      }
    }
  }
  instant.clear();
}

}  // namespace fieldline::analysis
