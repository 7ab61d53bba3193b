// SPDX-License-Identifier: Apache-2.0
// From what the matcher found to a report's directions.
#include "analysis/matcher.h"

#include <algorithm>

#include "base/text.h"

namespace fieldline::analysis {
namespace {

void take(EndEvidence&& evidence, Section& section) {
  section.lost = evidence.lost;
  section.reordered = evidence.reordered;
  section.undecided = evidence.undecided;
  section.undecided_packets = std::move(evidence.undecided_packets);
  section.lost_packets = std::move(evidence.packets);
  section.doubted_packets = std::move(evidence.doubted);
  section.note = std::move(evidence.note);
}

std::uint64_t records_of(const Stop& stop, const std::vector<Lane>& lanes) {
  std::uint64_t records = 0;
  for (const std::uint32_t lane : stop.lanes) records += lanes[lane].records;
  return records;
}

unsigned coarser(const Stop& up, const Stop& down, const Ledger& ledger) {
  return std::max(ledger.watch(up.key.sensor).sample_bits,
                  ledger.watch(down.key.sensor).sample_bits);
}

// Where the point is one interface whose speed its sensor told.
void add_link_rate(Point& point, const std::map<std::string, nlohmann::json>& systems) {
  const auto system = systems.find(point.sensor);
  if (!point.load || system == systems.end() || !system->second.contains("interfaces")) return;
  const nlohmann::json& interfaces = system->second["interfaces"];
  // In the path an interface is two ports, "eth0 in" and "eth0 out".
  const std::string name = point.interface.substr(0, point.interface.find(' '));
  if (!interfaces.is_object() || !interfaces.contains(name)) return;
  const auto mbps = number_in(interfaces[name], "speed_mbps");
  if (mbps && *mbps > 0) point.load->link_bps = static_cast<double>(*mbps) * 1e6;
}

// All of a flow's packets by one name, whichever they had when they were noted.
void rename(Direction& direction, const WireFlows& wire_flows) {
  const auto settle = [&](PacketName& packet) {
    if (packet.wire != 0 && wire_flows.has(packet.flow)) packet.digest = packet.wire;
  };
  for (Section& section : direction.sections) {
    for (LostPacket& packet : section.lost_packets) settle(packet);
    for (PacketName& packet : section.undecided_packets) settle(packet);
  }
  for (Again& again : direction.again) {
    settle(again.packet);
    settle(again.before);
  }
}

// A stream's holes are told from all of its packets.
EndEvidence unless_sampled(EndEvidence&& evidence, const Watch& watch) {
  if (watch.sample_bits == 0) return std::move(evidence);
  EndEvidence none;
  none.note = "1 of " + std::to_string(1u << watch.sample_bits) +
              " packets is recorded there: what was lost here is not told by a sample";
  return none;
}

// What each packet tells by itself.
FlowCounts of_sample(const FlowCounts& counts) {
  FlowCounts told;
  told.packets = counts.packets;
  told.data_packets = counts.data_packets;
  told.payload_bytes = counts.payload_bytes;
  told.first_ns = counts.first_ns;
  told.last_ns = counts.last_ns;
  return told;
}

}  // namespace

Direction Matcher::direction(bool reverse, const Ledger& ledger, const Loads& loads) {
  Direction direction;
  Way& way = ways_[reverse];
  const auto& path = way.path();
  if (path.empty()) return direction;
  for (const Stop& stop : path) direction.points.push_back(point_of(stop, reverse, ledger, loads));
  Section before, after;
  before.downstream = 0;
  before.packets = direction.points.front().recorded;
  const Watch first = ledger.watch(path.front().key.sensor);
  const Watch last = ledger.watch(path.back().key.sensor);
  const Side at_first{first, {}, ledger.off(path.front().key.sensor)};
  const Side at_last{last, {}, ledger.off(path.back().key.sensor)};
  take(unless_sampled(ends_[reverse].before->finish(at_first), first), before);
  after.upstream = static_cast<int>(path.size()) - 1;
  after.packets = direction.points.back().recorded;
  take(unless_sampled(ends_[reverse].after->finish(at_last), last), after);
  direction.sections.push_back(std::move(before));
  for (std::size_t at = 0; at + 1 < path.size(); ++at)
    direction.sections.push_back(between(at, reverse, direction.points, ledger));
  direction.sections.push_back(std::move(after));
  // Of a sample nothing follows that needs every packet: what was sent again, when, and why not.
  const bool whole = first.sample_bits == 0;
  if (whole) direction.again = ends_[reverse].again->finish();
  rename(direction, way.wire_flows());
  direction.flows = ends_[reverse].stats->counts();
  direction.other_flows = ends_[reverse].stats->others();
  if (!whole) {
    for (FlowCounts& counts : direction.flows) counts = of_sample(counts);
    return direction;
  }
  if (ends_[reverse].sequences) direction.sequences = ends_[reverse].sequences->lines();
  direction.spacing = spacing(reverse);
  if (ends_[reverse].waits) {
    direction.waits = ends_[reverse].waits->finish();
    direction.waits_left_out = ends_[reverse].waits->left_out();
  }
  return direction;
}

std::vector<FlowSpacing> Matcher::spacing(bool reverse) const {
  const auto& path = ways_[reverse].path();
  const auto& lanes = spacing_[reverse];
  std::map<std::uint32_t, FlowSpacing> flows;
  for (std::size_t at = 0; at < path.size(); ++at) {
    for (const std::uint32_t lane : path[at].lanes) {
      if (lane >= lanes.size()) continue;
      for (const auto& [number, spacing] : lanes[lane]) {
        FlowSpacing& flow = flows[number];
        flow.points.resize(path.size());
        flow.points[at].merge(spacing);
      }
    }
  }
  std::vector<FlowSpacing> all;
  for (auto& [number, flow] : flows) {
    const FlowKey& key = flows_->key(number);
    flow.sport = reverse ? key.port_b : key.port_a;
    flow.dport = reverse ? key.port_a : key.port_b;
    flow.protocol = key.protocol;
    all.push_back(std::move(flow));
  }
  return all;
}

Point Matcher::point_of(const Stop& stop, bool reverse, const Ledger& ledger,
                        const Loads& loads) const {
  Point point;
  point.name = stop.name;
  point.sensor = stop.key.sensor;
  point.interface = stop.key.interface;
  point.domain = stop.key.domain;
  std::set<std::string> sessions;
  for (const std::uint32_t number : stop.lanes) {
    const Lane& lane = ways_[reverse].lanes()[number];
    if (const auto known = sessions_.find(lane.key); known != sessions_.end())
      sessions.insert(known->second.begin(), known->second.end());
    point.bytes += lane.bytes;
    point.late += lane.late;
    point.unjoined += lane.unjoined_sum();
    const auto load = loads.load(lane.key);
    if (load && point.load) point.load->add(*load);
    if (load && !point.load) point.load = load;
  }
  for (const auto& session : sessions)
    point.session += (point.session.empty() ? "" : ",") + session;
  point.recorded = point.seen = records_of(stop, ways_[reverse].lanes());
  point.final_counts = ledger.knows_drops(point.sensor);
  const Watch watch = ledger.watch(point.sensor);
  point.started_ns = watch.started_ns;
  point.ended_ns = watch.ended_ns;
  point.sample_n = 1u << watch.sample_bits;
  // Counts are per sensor and direction: with several points there they cannot be told apart.
  std::size_t same = 0;
  for (const Stop& other : ways_[reverse].path()) same += other.key.sensor == stop.key.sensor;
  if (same == 1) {
    const Tally tally = ledger.tally(point.sensor, reverse);
    point.dropped = tally.dropped;
    point.sampled_out = tally.sampled_out;
    if (point.final_counts) point.seen = tally.packets;
  }
  add_link_rate(point, ledger.systems());
  return point;
}

Section Matcher::between(std::size_t at, bool reverse, const std::vector<Point>& points,
                         const Ledger& ledger) {
  Way& way = ways_[reverse];
  const Stop &up = way.path()[at], &down = way.path()[at + 1];
  Section section;
  section.upstream = static_cast<int>(at);
  section.downstream = static_cast<int>(at) + 1;
  section.packets = records_of(up, way.lanes());
  way.fill(at, ledger, *flows_, section);
  const auto note = [&](std::uint64_t count, const std::string& text) {
    if (count) add_note(section.note, std::to_string(count) + text);
  };
  if (section.delay.samples == 0) {
    add_note(section.note,
             "no packet was seen at both: rewritten on the way (NAT), or different paths");
  }
  // What was concluded while the points stood in another order, or not all of them were known.
  const std::uint64_t told = section.delay.samples + section.lost.value_or(0) + section.unseen +
                             section.undecided + section.unsampled;
  if (told < section.packets) section.undecided += section.packets - told;
  note(section.unseen, " passed " + down.name + " without being seen there");
  note(section.unsampled, " are not of the sample of " + down.name);
  if (const unsigned bits = coarser(up, down, ledger); bits > 0 && section.lost) {
    add_note(section.note, "of 1 in " + std::to_string(1u << bits) + " packets: about " +
                               grouped(*section.lost << bits) + " lost in all");
  }
  note(section.recut, " came to " + down.name + " cut otherwise (lro there, or a proxy between)");
  note(section.appeared, " came to " + down.name + " without being seen at " + up.name);
  note(section.undecided,
       " undecided: in flight, at the edge of an activation, while a point was off, or not joined");
  if (section.lost.value_or(0) > section.lost_packets.size()) {
    add_note(section.note,
             "the list names the first " + std::to_string(section.lost_packets.size()));
  }
  for (const std::size_t side : {at, at + 1}) {
    const Point& point = points[side];
    if (point.late)
      add_note(section.note, "records of " + point.name + " came too late to be joined");
    note(point.unjoined, " packets of " + point.name + " were not joined");
  }
  const auto dropped = ledger.tally(down.key.sensor, reverse).dropped_sum();
  if (dropped && section.lost.value_or(0) > 0) {
    add_note(section.note,
             "up to " + std::to_string(dropped) + " of the lost were dropped by " + down.name);
  }
  return section;
}

}  // namespace fieldline::analysis
