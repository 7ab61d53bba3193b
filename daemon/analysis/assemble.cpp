// SPDX-License-Identifier: Apache-2.0
#include <deque>

#include "analysis/matcher.h"
#include "analysis/order.h"
#include "analysis/receiver_evidence.h"
#include "analysis/sender_holes.h"
#include "analysis/vantage.h"

namespace fieldline::analysis {
namespace {

// A point before it has its place in the path: one port, or several that share a load.
struct Stop {
  VantageKey key;
  std::vector<const Vantage*> ports;
  const Track* track = nullptr;
  std::string name;
};

class Assembly {
 public:
  Assembly(const Ledger& ledger, const FlowTable& flows) : ledger_(ledger), flows_(flows) {}

  void collect(Vantages& vantages, bool reverse) {
    auto& stops = stops_[reverse];
    for (auto& [key, vantage] : vantages) {
      Track& track = vantage.tracks[reverse];
      if (track.size() == 0) continue;
      track.settle();
      Stop* share = nullptr;
      for (Stop& other : stops) {
        if (other.key.place() == key.place() && parallel(*other.track, track)) share = &other;
      }
      if (!share) {
        stops.push_back({key, {&vantage}, &track, ""});
        continue;
      }
      Track& merged = merged_.emplace_back(*share->track);
      merged.add_all(track);
      merged.settle();
      share->track = &merged;
      share->ports.push_back(&vantage);
      share->key.interface += "+" + key.interface;
    }
    name(stops);
  }

  Direction direct(bool reverse) const {
    const auto& stops = stops_[reverse];
    const std::vector<Seat> seats = seats_of(reverse), opposite = seats_of(!reverse);
    Direction direction;
    std::vector<const Stop*> path;
    for (const std::size_t at : path_order(seats, opposite)) {
      path.push_back(&stops[at]);
      direction.points.push_back(point_of(stops[at], reverse));
    }
    if (path.empty()) return direction;
    direction.sections.push_back(before(*path.front(), reverse));
    for (std::size_t at = 0; at + 1 < path.size(); ++at) {
      direction.sections.push_back(between(path, at, reverse));
    }
    direction.sections.push_back(after(*path.back(), static_cast<int>(path.size()) - 1, reverse));
    return direction;
  }

 private:
  static void name(std::vector<Stop>& stops) {
    for (Stop& stop : stops) {
      bool many_ports = false, many_domains = false;
      for (const Stop& other : stops) {
        if (&other == &stop || other.key.sensor != stop.key.sensor) continue;
        (other.key.domain == stop.key.domain ? many_ports : many_domains) = true;
      }
      stop.name = (many_domains ? stop.key.place() : stop.key.sensor) +
                  (many_ports ? ":" + stop.key.interface : "");
    }
  }

  std::vector<Seat> seats_of(bool reverse) const {
    std::vector<Seat> seats;
    for (const Stop& stop : stops_[reverse])
      seats.push_back({stop.track, stop.key.place(), stop.name});
    return seats;
  }

  bool alone(const Stop& stop, bool reverse) const {
    std::size_t same = 0;
    for (const Stop& other : stops_[reverse]) same += other.key.sensor == stop.key.sensor;
    return same == 1;
  }

  Point point_of(const Stop& stop, bool reverse) const {
    Point point;
    point.name = stop.name;
    point.sensor = stop.key.sensor;
    point.interface = stop.key.interface;
    point.domain = stop.key.domain;
    std::set<std::string> sessions;
    for (const Vantage* port : stop.ports) {
      sessions.insert(port->sessions.begin(), port->sessions.end());
      point.bytes += port->bytes[reverse];
    }
    for (const auto& session : sessions)
      point.session += (point.session.empty() ? "" : ",") + session;
    point.recorded = point.seen = stop.track->size();
    point.final_counts = ledger_.final(point.sensor);
    // Counts are per sensor and direction: with several points there they cannot be told apart.
    const Tally tally = ledger_.tally(point.sensor, reverse);
    if (alone(stop, reverse)) {
      point.dropped = tally.dropped;
      if (point.final_counts) point.seen = tally.packets;
    }
    return point;
  }

  const Track* acks_at(const Stop& stop, bool reverse) const {
    for (const Stop& other : stops_[!reverse]) {
      if (other.key.place() == stop.key.place()) return other.track;
    }
    return nullptr;
  }

  static void take(EndEvidence&& evidence, Section& section) {
    section.lost = evidence.lost;
    section.reordered = evidence.reordered;
    section.undecided = evidence.undecided;
    section.lost_packets = std::move(evidence.packets);
    section.note = std::move(evidence.note);
  }

  Section before(const Stop& first, bool reverse) const {
    Section section;
    section.downstream = 0;
    section.packets = first.track->size();
    const Watch watch = ledger_.watch(first.key.sensor);
    take(before_first(*first.track, acks_at(first, reverse), flows_, reverse, watch), section);
    return section;
  }

  Section after(const Stop& last, int index, bool reverse) const {
    Section section;
    section.upstream = index;
    section.packets = last.track->size();
    const Watch watch = ledger_.watch(last.key.sensor);
    take(after_last(*last.track, acks_at(last, reverse), flows_, reverse, watch), section);
    return section;
  }

  Section between(const std::vector<const Stop*>& path, std::size_t at, bool reverse) const {
    const Stop &up = *path[at], &down = *path[at + 1];
    Section section;
    section.upstream = static_cast<int>(at);
    section.downstream = static_cast<int>(at) + 1;
    std::vector<const Track*> beyond;
    for (std::size_t next = at + 2; next < path.size(); ++next) beyond.push_back(path[next]->track);
    match_section({up.track, ledger_.watch(up.key.sensor)},
                  {down.track, ledger_.watch(down.key.sensor)}, beyond, flows_, reverse, section);
    if (section.delay.samples == 0) {
      add_note(section.note,
               "no packet was seen at both: rewritten on the way (NAT), or different paths");
    }
    if (section.unseen) {
      add_note(section.note, std::to_string(section.unseen) + " passed " + down.name +
                                 " without being seen there");
    }
    if (section.appeared) {
      add_note(section.note, std::to_string(section.appeared) + " came to " + down.name +
                                 " without being seen at " + up.name);
    }
    if (section.undecided) {
      add_note(section.note, std::to_string(section.undecided) +
                                 " undecided: in flight, or at the edge of an activation");
    }
    const auto dropped = ledger_.tally(down.key.sensor, reverse).dropped_sum();
    if (dropped && section.lost.value_or(0) > 0) {
      add_note(section.note,
               "up to " + std::to_string(dropped) + " of the lost were dropped by " + down.name);
    }
    return section;
  }

  const Ledger& ledger_;
  const FlowTable& flows_;
  std::array<std::vector<Stop>, 2> stops_;
  std::deque<Track> merged_;
};

}  // namespace

void assemble(Vantages& vantages, const Ledger& ledger, const FlowTable& flows,
              PathReport& report) {
  Assembly assembly(ledger, flows);
  for (const bool reverse : {false, true}) assembly.collect(vantages, reverse);
  report.forward = assembly.direct(false);
  report.reverse = assembly.direct(true);
}

}  // namespace fieldline::analysis
