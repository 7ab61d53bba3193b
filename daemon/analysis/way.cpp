// SPDX-License-Identifier: Apache-2.0
#include "analysis/way.h"

#include <algorithm>

namespace fieldline::analysis {
namespace {

constexpr std::int64_t kFarthest = std::int64_t{1} << 60;  // ns

}  // namespace

std::uint32_t Way::lane_of(const VantageKey& key) {
  const auto found =
      std::find_if(lanes_.begin(), lanes_.end(), [&](const Lane& lane) { return lane.key == key; });
  if (found != lanes_.end()) return static_cast<std::uint32_t>(found - lanes_.begin());
  lanes_.emplace_back();
  lanes_.back().key = key;
  if (lanes_.size() > 1) window_.begin_to_join();
  expected_.erase(key.place());
  return static_cast<std::uint32_t>(lanes_.size() - 1);
}

void Way::see(std::uint32_t number, const Observation& seen, std::uint8_t rank) {
  constexpr std::uint8_t kNameless = kCarriesTcp | kOptionsCut;
  if ((seen.flags & kNameless) == kNameless && wire_flows().has(seen.flow))
    return see_unjoined(number, seen.time, Unjoined::cut, 1);
  Lane& lane = lanes_[number];
  count(lane, seen.time);
  if (at_start(seen.time, lane.shift) < concluded_) {
    lane.blind.include(seen.time);
    ++lane.late;
  }
  window_.add(number, lane.shift, seen, rank);
}

void Way::see_unjoined(std::uint32_t number, std::uint64_t time, Unjoined why,
                       std::uint64_t packets) {
  Lane& lane = lanes_[number];
  count(lane, time, packets);
  lane.blind.include(time);
  lane.unjoined[static_cast<std::size_t>(why)] += packets;
}

bool Way::go_over(std::uint32_t flow) {
  return window_.go_over(flow, [this](std::uint32_t number, std::uint64_t time) {
    lanes_[number].blind.include(time);
    ++lanes_[number].unjoined[static_cast<std::size_t>(Unjoined::cut)];
  });
}

void Way::count(Lane& lane, std::uint64_t time, std::uint64_t packets) {
  lane.records += packets;
  records_ += packets;
  lane.first_ns = std::min(lane.first_ns, time);
  lane.newest_ns = std::max(lane.newest_ns, time);
}

// Not without end: an expected place may not be on this direction's path, and a lane may share no
// packet with any other.
bool Way::is_waiting() const {
  std::uint64_t first = UINT64_MAX, newest = 0;
  bool unplaced = false;
  for (const Lane& lane : lanes_) {
    first = std::min(first, lane.first_ns);
    newest = std::max(newest, lane.newest_ns);
    unplaced |= !lane.placed && lane.newest_ns - lane.first_ns < patience_ns_;
  }
  return unplaced || (!expected_.empty() && newest - first < patience_ns_);
}

std::int64_t Way::horizon(const Ledger& ledger, bool patient) const {
  if (lanes_.empty() || (patient && is_waiting())) return INT64_MIN;
  std::int64_t newest = INT64_MIN, least = INT64_MAX;
  for (const Lane& lane : lanes_) {
    const std::int64_t reached = at_start(lane.newest_ns, lane.shift);
    newest = std::max(newest, reached);
    if (!ledger.watch(lane.key.sensor).drained) least = std::min(least, reached);
  }
  return (patient ? std::min(least, newest) : newest) - static_cast<std::int64_t>(2 * kGraceNs);
}

std::vector<Seat> Way::seats() const {
  std::vector<Seat> seats;
  for (const Stop& stop : stops_) seats.push_back({stop.lanes, stop.key.place(), stop.name});
  return seats;
}

bool Way::is_to_be_ordered() const {
  const bool placed =
      std::all_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return lane.placed; });
  const std::uint64_t enough = placed ? ordered_records_ : ordered_records_ / 4;
  return ordered_lanes_ != lanes_.size() || records_ - ordered_records_ > enough;
}

void Way::learn() {
  window_.settle();
  relations_.learn(window_, lanes_.size());
  stops_.clear();
  for (std::uint32_t at = 0; at < lanes_.size(); ++at) {
    const VantageKey& key = lanes_[at].key;
    const auto share = std::find_if(stops_.begin(), stops_.end(), [&](const Stop& stop) {
      return stop.key.place() == key.place() &&
             std::all_of(stop.lanes.begin(), stop.lanes.end(),
                         [&](std::uint32_t lane) { return relations_.parallel(lane, at); });
    });
    if (share == stops_.end()) {
      stops_.push_back({key, "", {at}});
    } else {
      share->lanes.push_back(at);
      share->key.interface += "+" + key.interface;
    }
  }
  name_stops();
}

void Way::order(const Way& opposite) {
  const std::vector<Seat> own = seats(), others = opposite.seats();
  path_.clear();
  for (const std::size_t at : path_order({own, relations_}, {others, opposite.relations_}))
    path_.push_back(stops_[at]);
  section_at_.clear();
  for (std::size_t at = 0; at + 1 < path_.size(); ++at) {
    const auto [known, fresh] =
        section_numbers_.try_emplace(Ends{path_[at].id(), path_[at + 1].id()}, sections_.size());
    if (fresh) sections_.emplace_back();
    section_at_.push_back(known->second);
  }
  place_stops();
  ordered_lanes_ = lanes_.size();
  ordered_records_ = records_;
}

void Way::name_stops() {
  for (Stop& stop : stops_) {
    bool many_ports = false, many_domains = false;
    for (const Stop& other : stops_) {
      if (&other == &stop || other.key.sensor != stop.key.sensor) continue;
      (other.key.domain == stop.key.domain ? many_ports : many_domains) = true;
    }
    stop.name = (many_domains ? stop.key.place() : stop.key.sensor) +
                (many_ports ? ":" + stop.key.interface : "");
  }
}

// Once a stop is placed it keeps its shift: what is concluded is counted from it.
void Way::place_stops() {
  stop_of_.assign(lanes_.size(), 0);
  for (std::size_t at = 0; at < path_.size(); ++at) {
    for (const std::uint32_t lane : path_[at].lanes) stop_of_[lane] = at;
  }
  const auto is_placed = [this](const Stop& stop) { return lanes_[stop.id()].placed; };
  const auto found = std::find_if(path_.begin(), path_.end(), is_placed);
  const bool any = found != path_.end();
  const auto anchor = static_cast<std::size_t>(any ? found - path_.begin() : 0);
  if (path_.empty() || (!any && path_.size() > 1 && !meets_another(path_.front()))) return;
  place(path_[anchor], lanes_[path_[anchor].id()].shift);
  for (std::size_t at = anchor; at-- > 0;) place_beside(at, path_[at + 1]);
  for (std::size_t at = anchor + 1; at < path_.size(); ++at) {
    // Behind the nearest stop with which it shares packets.
    for (std::size_t before = at; before-- > 0 && !place_beside(at, path_[before]);) {
    }
  }
}

bool Way::meets_another(const Stop& stop) const {
  return std::any_of(path_.begin(), path_.end(), [&](const Stop& other) {
    return other.id() != stop.id() &&
           relation_of({stop.lanes, "", ""}, {other.lanes, "", ""}, relations_);
  });
}

bool Way::place_beside(std::size_t at, const Stop& placed) {
  const Lane& known = lanes_[placed.id()];
  const auto relation = relation_of({placed.lanes, "", ""}, {path_[at].lanes, "", ""}, relations_);
  if (!relation || !known.placed) return false;
  place(path_[at], std::clamp(known.shift + relation->delay, -kFarthest, kFarthest));
  return true;
}

// What of it came before its place was known, and belongs to what was judged then, is late.
void Way::place(const Stop& stop, std::int64_t shift) {
  for (const std::uint32_t number : stop.lanes) {
    Lane& lane = lanes_[number];
    lane.shift = shift;
    if (!lane.placed && at_start(lane.first_ns, shift) < concluded_) {
      ++lane.late;
      lane.blind.include(lane.first_ns);
      lane.blind.include(std::min(lane.newest_ns, static_cast<std::uint64_t>(concluded_ + shift)));
    }
    lane.placed = true;
  }
}

std::vector<std::int64_t> Way::shifts() const {
  std::vector<std::int64_t> shifts;
  for (const Lane& lane : lanes_) shifts.push_back(lane.shift);
  return shifts;
}

// The bundle's times by stop.
void Way::group(const Bundle& bundle) {
  passes_.clear();
  times_.clear();
  groups_.clear();
  for (const Sight& sight : bundle.sights) passes_.push_back({stop_of_[sight.lane], sight.time});
  std::sort(passes_.begin(), passes_.end());
  for (const Pass& pass : passes_) times_.push_back(pass.time);
  for (std::size_t begin = 0, end = 0; begin < passes_.size(); begin = end) {
    while (end < passes_.size() && passes_[end].stop == passes_[begin].stop) ++end;
    groups_.push_back({passes_[begin].stop, Times(times_).subspan(begin, end - begin)});
  }
}

// From the last stop that has it to the first: each section with something at either end.
void Way::join(const Bundle& bundle) {
  if (path_.size() < 2) return;
  group(bundle);
  // Which sample a super-packet's segment is of was not told (0).
  const std::uint8_t rank =
      std::max_element(bundle.sights.begin(), bundle.sights.end(),
                       [](const Sight& a, const Sight& b) { return a.rank < b.rank; })
          ->rank;
  std::size_t most = 0, counted = groups_.size();
  const auto beyond = [&](std::size_t at) {
    while (counted > 0 && groups_[counted - 1].stop > at + 1)
      most = std::max(most, groups_[--counted].times.size());
    return most;
  };
  for (std::size_t here = groups_.size(); here-- > 0;) {
    const auto& [stop, times] = groups_[here];
    const bool last = here + 1 == groups_.size();
    if (stop + 1 < path_.size()) {
      const bool next = !last && groups_[here + 1].stop == stop + 1;
      const Times down = next ? groups_[here + 1].times : Times();
      section(stop).join(bundle.packet, rank, times, down, beyond(stop));
    }
    if (stop > 0 && (here == 0 || groups_[here - 1].stop + 1 != stop))
      section(stop - 1).join(bundle.packet, rank, {}, times, beyond(stop - 1));
  }
}

void Way::conclude(std::int64_t horizon, const Ledger& ledger, const FlowTable& flows) {
  if (horizon < concluded_) return;
  concluded_ = horizon;
  window_.drain(horizon, shifts(), [this](const Bundle& bundle) { join(bundle); });
  for (std::size_t at = 0; at + 1 < path_.size(); ++at) {
    // A packet of the window may still come in front of one that has been joined.
    const std::int64_t in_order = horizon - static_cast<std::int64_t>(2 * kGraceNs);
    const std::int64_t there = in_order + lanes_[path_[at + 1].id()].shift;
    section(at).order_until(there > 0 ? static_cast<std::uint64_t>(there) : 0);
    section(at).decide(side(path_[at], ledger), side(path_[at + 1], ledger), flows, reverse_);
  }
}

Side Way::side(const Stop& stop, const Ledger& ledger) const {
  Side side{ledger.watch(stop.key.sensor), {}, ledger.off(stop.key.sensor)};
  for (const std::uint32_t lane : stop.lanes) {
    if (!lanes_[lane].blind.any) continue;
    side.blind.include(lanes_[lane].blind.first);
    side.blind.include(lanes_[lane].blind.last);
  }
  return side;
}

void Way::fill(std::size_t at, const Ledger& ledger, const FlowTable& flows, Section& section) {
  SectionMatcher& matcher = this->section(at);
  // While the point behind this one was not yet known, packets were judged between its neighbours.
  for (const auto& [ends, number] : section_numbers_) {
    if (ends.first != path_[at].id()) continue;
    for (std::size_t far = at + 2; far < path_.size(); ++far) {
      if (path_[far].id() == ends.second) matcher.count_as_undecided(sections_[number]);
    }
  }
  matcher.fill(side(path_[at], ledger), side(path_[at + 1], ledger), flows, reverse_, section);
}

}  // namespace fieldline::analysis
