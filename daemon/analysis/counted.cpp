// SPDX-License-Identifier: Apache-2.0
#include "analysis/counted.h"

#include <algorithm>

namespace fieldline::analysis {
namespace {

Point point_of(const std::string& sensor, const Ledger& ledger, bool reverse) {
  const Tally tally = ledger.tally(sensor, reverse);
  const Watch watch = ledger.watch(sensor);
  Point point;
  point.name = point.sensor = sensor;
  point.domain = ledger.domain_of(sensor);
  point.seen = tally.packets;
  point.bytes = tally.bytes;
  point.dropped = tally.dropped;
  point.sampled_out = tally.sampled_out;
  point.sample_n = 0;
  point.started_ns = watch.started_ns;
  point.ended_ns = watch.ended_ns;
  point.final_counts = ledger.final(sensor);
  return point;
}

bool was_off(const Point& point, const Ledger& ledger) {
  return !ledger.off(point.sensor).empty();
}

Section section_between(const Point& up, const Point& down, const Ledger& ledger) {
  Section section;
  section.by_counters = true;
  section.packets = up.seen;
  if (!up.final_counts || !down.final_counts) {
    section.note = "counts are final at both ends only when the run is over";
  } else if (was_off(up, ledger) || was_off(down, ledger)) {
    section.note = (was_off(down, ledger) ? down : up).name +
                   " was off in between: what passed then it did not count (fieldline coverage)";
  } else {
    section.lost = up.seen - down.seen;
    if (*section.lost > 0) {
      section.note =
          "by counters: if every packet passes both, each once, and but for what was under way "
          "when "
          "either began or ceased";
    }
  }
  return section;
}

Section end_of(const Point& point) {
  Section section;
  section.by_counters = true;
  section.packets = point.seen;
  section.note = "counters tell nothing of what lies beyond " + point.name;
  return section;
}

}  // namespace

Direction counted_direction(const Ledger& ledger, bool reverse) {
  Direction direction;
  for (const std::string& sensor : ledger.counting()) {
    Point point = point_of(sensor, ledger, reverse);
    if (point.seen > 0) direction.points.push_back(std::move(point));
  }
  auto& points = direction.points;
  if (points.empty()) return direction;
  if (reverse) std::reverse(points.begin(), points.end());
  std::stable_sort(points.begin(), points.end(),
                   [](const Point& a, const Point& b) { return a.seen > b.seen; });
  Section before = end_of(points.front()), after = end_of(points.back());
  before.downstream = 0;
  after.upstream = static_cast<int>(points.size()) - 1;
  direction.sections.push_back(std::move(before));
  for (std::size_t at = 0; at + 1 < points.size(); ++at) {
    Section section = section_between(points[at], points[at + 1], ledger);
    section.upstream = static_cast<int>(at);
    section.downstream = static_cast<int>(at) + 1;
    direction.sections.push_back(std::move(section));
  }
  direction.sections.push_back(std::move(after));
  return direction;
}

void time_by_counters(PathReport& report) {
  for (const Direction* direction : {&report.forward, &report.reverse}) {
    for (const Point& point : direction->points) {
      const std::uint64_t began = point.started_ns.value_or(0);
      report.first_ns = report.first_ns == 0 ? began : std::min(report.first_ns, began);
      report.last_ns = std::max({report.last_ns, began, point.ended_ns.value_or(0)});
    }
  }
}

}  // namespace fieldline::analysis
