// SPDX-License-Identifier: Apache-2.0
// docs/format/path.md.
#include <fmt/format.h>

#include "analysis/path.h"

namespace fieldline::analysis {
namespace {

using nlohmann::json;

json to_json(const LostPacket& lost) {
  return {{"timestamp_ns", lost.timestamp_ns},
          {"digest", lost.digest ? json(fmt::format("{:016x}", lost.digest)) : json()},
          {"protocol", lost.protocol},
          {"sport", lost.sport},
          {"dport", lost.dport},
          {"ip_id", lost.ip_id},
          {"sequence", lost.sequence},
          {"payload", lost.payload}};
}

json to_json(const Load& load) {
  return {{"from_ns", load.from_ns},
          {"to_ns", load.to_ns},
          {"covered_ns", load.covered_ns},
          {"periods", load.periods},
          {"packets", load.port.packets},
          {"bytes", load.port.bytes},
          {"own_packets", load.own.packets},
          {"own_bytes", load.own.bytes},
          {"own_bps", load.own_bps()},
          {"others_bps", load.others_bps()},
          {"others_p99_bps", load.p99_bps},
          {"others_peak_bps", load.peak_bps},
          {"link_bps", load.link_bps ? json(*load.link_bps) : json()}};
}

json to_json(const Point& point) {
  const auto time = [](const auto& value) { return value ? json(*value) : json(); };
  return {{"name", point.name},
          {"sensor", point.sensor},
          {"interface", point.interface},
          {"domain", point.domain},
          {"session", point.session},
          {"seen", point.seen},
          {"recorded", point.recorded},
          {"bytes", point.bytes},
          {"dropped", point.dropped},
          {"sampled_out", point.sampled_out},
          {"sample_n", point.sample_n},
          {"final_counts", point.final_counts},
          {"late", point.late},
          {"unjoined", point.unjoined},
          {"started_ns", time(point.started_ns)},
          {"ended_ns", time(point.ended_ns)},
          {"load", point.load ? to_json(*point.load) : json()}};
}

json name_of(const Direction& direction, int point) {
  return point < 0 ? json() : json(direction.points[static_cast<std::size_t>(point)].name);
}

json to_json(const Section& section, const Direction& direction) {
  json lost_packets = json::array();
  for (const auto& lost : section.lost_packets) lost_packets.push_back(to_json(lost));
  json delay;
  if (section.delay.samples > 0) {
    delay = {{"samples", section.delay.samples},
             {"min_ns", section.delay.min_ns},
             {"p50_ns", section.delay.p50_ns},
             {"p99_ns", section.delay.p99_ns}};
  }
  return {{"from", name_of(direction, section.upstream)},
          {"to", name_of(direction, section.downstream)},
          {"packets", section.packets},
          {"lost", section.lost ? json(*section.lost) : json()},
          {"reordered", section.reordered},
          {"duplicated", section.duplicated},
          {"appeared", section.appeared},
          {"unseen", section.unseen},
          {"undecided", section.undecided},
          {"unsampled", section.unsampled},
          {"delay", delay},
          {"lost_packets", lost_packets},
          {"by_counters", section.by_counters},
          {"note", section.note}};
}

json to_json(const Direction& direction) {
  json points = json::array(), sections = json::array();
  for (const auto& point : direction.points) points.push_back(to_json(point));
  for (const auto& section : direction.sections) sections.push_back(to_json(section, direction));
  return {{"points", points}, {"sections", sections}};
}

}  // namespace

json to_json(const PathReport& report) {
  return {{"schema", "fieldline.path/1"},       {"run", report.run.hex()},
          {"principal", report.principal},      {"grant", report.grant},
          {"first_ns", report.first_ns},        {"last_ns", report.last_ns},
          {"forward", to_json(report.forward)}, {"reverse", to_json(report.reverse)},
          {"complete", report.complete},        {"incomplete", report.incomplete},
          {"refusals", report.refusals},        {"ignored", report.ignored},
          {"captures", report.captures}};
}

}  // namespace fieldline::analysis
