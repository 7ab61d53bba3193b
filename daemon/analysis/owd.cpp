// SPDX-License-Identifier: Apache-2.0
#include "analysis/owd.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <set>
#include <utility>

#include "analysis/ledger.h"

namespace fieldline::analysis {
namespace {

using Samples = std::vector<DelaySample>;
using Ends = std::pair<std::string, std::string>;  // places

std::string place_of(const Point& point) {
  return point.domain.empty() ? point.sensor : point.domain + "/" + point.sensor;
}

std::uint64_t arrival(const DelaySample& sample) {
  return sample.time_ns + static_cast<std::uint64_t>(sample.delay_ns);
}

// Clocks may be apart by more than a signed difference, or exactly a double, holds.
template <class T>
double since(T value, T origin) {
  return static_cast<double>(static_cast<long double>(value) - static_cast<long double>(origin));
}

// All sections from one place to another.
struct Edge {
  std::vector<const Section*> sections;
  std::uint64_t width_ns = DelaySeries::kWidthNs;

  // The least of each bin; all: and the sampled packets.
  Samples samples(bool all) const {
    Samples samples;
    for (const Section* section : sections) {
      for (const auto& bin : section->delays.bins()) samples.push_back({bin.min_at_ns, bin.min_ns});
      if (all) {
        samples.insert(samples.end(), section->delay_samples.begin(), section->delay_samples.end());
      }
    }
    return samples;
  }
};

// From one place to another, at least over neighbours.
struct Passage {
  std::vector<std::string> places;  // behind the first
  Samples samples;
  double slack = 0;
  std::uint64_t width_ns = DelaySeries::kWidthNs;
};

// Packets of two sections in a row, by the clock between them. What that clock drifts from the one
// packet's time to the other's is the slack.
Samples joined(Samples first, Samples second, std::uint64_t width_ns, double& slack) {
  Samples both;
  const auto by_arrival = [](const auto& a, const auto& b) { return arrival(a) < arrival(b); };
  const auto by_time = [](const auto& a, const auto& b) { return a.time_ns < b.time_ns; };
  std::sort(first.begin(), first.end(), by_arrival);
  std::sort(second.begin(), second.end(), by_time);
  double farthest = 0;
  std::size_t near = 0;
  for (const DelaySample& one : first) {
    const auto apart = [&](std::size_t at) {
      return std::abs(since(second[at].time_ns, arrival(one)));
    };
    while (near + 1 < second.size() && apart(near + 1) <= apart(near)) ++near;
    if (second.empty() || apart(near) > static_cast<double>(width_ns)) continue;
    farthest = std::max(farthest, apart(near));
    both.push_back({one.time_ns,
                    static_cast<std::int64_t>(static_cast<std::uint64_t>(one.delay_ns) +
                                              static_cast<std::uint64_t>(second[near].delay_ns))});
  }
  slack += farthest * kDriftMax;
  return both;
}

class Network {
 public:
  explicit Network(const PathReport& path) {
    for (const Direction* direction : {&path.forward, &path.reverse}) {
      for (const Section& section : direction->sections) {
        if (section.delays.bins().empty()) continue;
        const Ends ends = ends_of(*direction, section);
        if (ends.first == ends.second) continue;
        Edge& edge = edges_[ends];
        edge.sections.push_back(&section);
        edge.width_ns = std::max(edge.width_ns, section.delays.width_ns());
      }
    }
  }

  static Ends ends_of(const Direction& direction, const Section& section) {
    return {place_of(direction.points[static_cast<std::size_t>(section.upstream)]),
            place_of(direction.points[static_cast<std::size_t>(section.downstream)])};
  }

  // The fewest sections.
  Passage passage(const std::string& from, const std::string& to) const {
    std::map<std::string, std::string> before{{from, from}};
    for (std::deque<std::string> open{from}; !open.empty() && !before.contains(to);
         open.pop_front()) {
      for (const auto& [ends, edge] : edges_) {
        if (ends.first == open.front() && before.try_emplace(ends.second, ends.first).second)
          open.push_back(ends.second);
      }
    }
    Passage passage;
    if (!before.contains(to)) return passage;
    for (std::string at = to; at != from; at = before[at])
      passage.places.insert(passage.places.begin(), at);
    std::string at = from;
    for (const std::string& next : passage.places) {
      const Edge& edge = edges_.at({at, next});
      passage.width_ns = std::max(passage.width_ns, edge.width_ns);
      passage.samples = at == from ? edge.samples(passage.places.size() == 1)
                                   : joined(std::move(passage.samples), edge.samples(false),
                                            passage.width_ns, passage.slack);
      at = next;
    }
    if (passage.samples.empty()) passage.places.clear();
    return passage;
  }

 private:
  std::map<Ends, Edge> edges_;
};

Readings readings(const ClockPair& pair, const Samples& samples, bool back) {
  Readings list;
  list.reserve(samples.size());
  for (const DelaySample& sample : samples) {
    list.push_back({since(back == pair.by_b ? sample.time_ns : arrival(sample), pair.origin_ns),
                    pair.above_base(sample.delay_ns, back)});
  }
  std::sort(list.begin(), list.end(), [](const Reading& one, const Reading& other) {
    return std::pair(one.at, one.delay) < std::pair(other.at, other.delay);
  });
  return list;
}

// By one clock's time, and where a step or a stretch that fits no line is in the way by the
// other's: the clock that was set back shows some times twice.
void follow(ClockPair& pair, const Passage& there, const Passage& back) {
  if (there.samples.empty() || back.samples.empty()) return;
  const auto by = [&](bool b) {
    ClockPair one = pair;
    one.by_b = b;
    one.base_ns = there.samples.front().delay_ns;
    one.origin_ns = b ? back.samples.front().time_ns : there.samples.front().time_ns;
    one.course = follow_clock(
        readings(one, there.samples, false), readings(one, back.samples, true),
        static_cast<double>(std::max(there.width_ns, back.width_ns)), there.slack + back.slack);
    return one;
  };
  pair = by(false);
  if (pair.course.stretches.size() < 2 && pair.course.unknown() <= 0) return;
  ClockPair other = by(true);
  if (std::pair(other.course.unknown(), other.course.stretches.size()) <
      std::pair(pair.course.unknown(), pair.course.stretches.size()))
    pair = std::move(other);
}

std::size_t pair_of(const Ends& ends, const Network& network, std::vector<ClockPair>& clocks) {
  for (std::size_t at = 0; at < clocks.size(); ++at) {
    const Ends known{clocks[at].a, clocks[at].b};
    if (known == ends || known == Ends{ends.second, ends.first}) return at;
  }
  ClockPair pair;
  pair.a = ends.first;
  pair.b = ends.second;
  const Passage there = network.passage(pair.a, pair.b), back = network.passage(pair.b, pair.a);
  pair.there = there.places;
  pair.back = back.places;
  follow(pair, there, back);
  clocks.push_back(std::move(pair));
  return clocks.size() - 1;
}

// Nearest rank.
std::int64_t percentile(std::vector<double>& values, unsigned percent) {
  const std::size_t rank = std::max<std::size_t>(1, (values.size() * percent + 99) / 100);
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(rank - 1);
  std::nth_element(values.begin(), at, values.end());
  return std::llround(*at);
}

// What is taken from a delay of the section: what the clocks differ by then, or (variation) the
// least delay.
template <class Corrected>
void fill(OneWay& way, const Section& section, Corrected corrected) {
  way.width_ns = section.delays.width_ns();
  way.bins.clear();
  std::vector<double> values;
  values.reserve(section.delay_samples.size());
  for (const DelaySample& sample : section.delay_samples) {
    if (const auto value = corrected(sample)) values.push_back(*value);
  }
  way.partly = values.size() < section.delay_samples.size();
  const auto p99 = p99_of(section.delays, section.delay_samples);
  const auto& bins = section.delays.bins();
  for (std::size_t at = 0; at < bins.size(); ++at) {
    const auto& bin = bins[at];
    const auto least = corrected({bin.min_at_ns, bin.min_ns});
    if (!least) continue;
    values.push_back(*least);
    const double mean = bin.sum_ns / static_cast<double>(bin.count);
    const double taken = static_cast<double>(bin.min_ns) - *least;
    way.bins.push_back({bin.from_ns, std::llround(*least), std::llround(mean - taken),
                        std::llround(static_cast<double>(bin.max_ns) - taken), std::nullopt});
    if (p99[at]) way.bins.back().p99_ns = std::llround(static_cast<double>(*p99[at]) - taken);
  }
  if (values.empty()) return;
  way.delay.min_ns = std::llround(*std::min_element(values.begin(), values.end()));
  // The bins' packets are among the samples already.
  values.resize(values.size() - way.bins.size());
  if (values.empty()) return;
  way.delay.samples = values.size();
  way.delay.p50_ns = percentile(values, 50);
  way.delay.p99_ns = percentile(values, 99);
}

// A sensor's name will do where no two domains use it.
void name_places(OwdReport& report) {
  std::map<std::string, std::set<std::string>> places;
  for (const Direction* direction : {&report.path.forward, &report.path.reverse}) {
    for (const Point& point : direction->points) places[point.sensor].insert(place_of(point));
  }
  std::map<std::string, std::string> names;
  for (const auto& [sensor, of_sensor] : places) {
    for (const std::string& place : of_sensor) names[place] = of_sensor.size() > 1 ? place : sensor;
  }
  for (ClockPair& pair : report.clocks) {
    pair.a = names[pair.a];
    pair.b = names[pair.b];
    for (std::string& place : pair.there) place = names[place];
    for (std::string& place : pair.back) place = names[place];
  }
}

void measure(OneWay& way, const Section& section, const Ends& ends, const OwdReport& report) {
  const ClockPair* pair = way.pair ? &report.clocks[*way.pair] : nullptr;
  const bool back = pair && ends.first != pair->a;
  way.kind = OneWay::Kind::known;
  fill(way, section, [&](const DelaySample& sample) {
    return pair ? pair->corrected_ns(sample, back)
                : std::optional(static_cast<double>(sample.delay_ns));
  });
  if (pair) {
    for (const ClockFit& fit : pair->course.stretches) {
      if (fit.known) way.error_ns = std::max<std::int64_t>(way.error_ns, std::llround(fit.error));
    }
  }
  if (way.delay.samples > 0) return;
  way.kind = OneWay::Kind::variation;
  const auto least = static_cast<double>(section.delay.min_ns);
  fill(way, section, [&](const DelaySample& sample) {
    return std::optional(static_cast<double>(sample.delay_ns) - least);
  });
}

}  // namespace

std::optional<double> ClockPair::corrected_ns(const DelaySample& sample, bool is_back) const {
  const double at = since(is_back == by_b ? sample.time_ns : arrival(sample), origin_ns);
  const ClockFit* fit = course.at(at);
  if (!fit) return std::nullopt;
  return above_base(sample.delay_ns, is_back) + (is_back ? fit->theta(at) : -fit->theta(at));
}

double ClockPair::above_base(std::int64_t delay_ns, bool is_back) const {
  const long double base = is_back ? -static_cast<long double>(base_ns) : base_ns;
  return static_cast<double>(static_cast<long double>(delay_ns) - base);
}

std::uint64_t ClockPair::time_of(double at) const {
  const long double time = static_cast<long double>(origin_ns) + static_cast<long double>(at);
  if (time <= 0) return 0;
  return time >= static_cast<long double>(UINT64_MAX) ? UINT64_MAX
                                                      : static_cast<std::uint64_t>(time);
}

OwdReport measure_one_way(PathReport path) {
  OwdReport report;
  report.path = std::move(path);
  const Network network(report.path);
  for (const bool reverse : {false, true}) {
    const Direction& direction = reverse ? report.path.reverse : report.path.forward;
    for (std::size_t at = 0; at < direction.sections.size(); ++at) {
      const Section& section = direction.sections[at];
      if (section.upstream < 0 || section.downstream < 0) continue;
      OneWay way;
      way.reverse = reverse;
      way.section = at;
      const Ends ends = Network::ends_of(direction, section);
      if (!section.delays.bins().empty()) {
        if (ends.first != ends.second) way.pair = pair_of(ends, network, report.clocks);
        measure(way, section, ends, report);
      }
      report.ways.push_back(std::move(way));
    }
  }
  name_places(report);
  report.whole = !report.ways.empty() &&
                 std::all_of(report.ways.begin(), report.ways.end(), [](const OneWay& way) {
                   return way.kind == OneWay::Kind::known && !way.partly;
                 });
  return report;
}

namespace {

// A place is named by its sensor, with the domain in front where several have that name.
const RecordedClock* clock_of(const OwdReport& report, const std::string& place) {
  const auto found = report.path.clocks.find(place.substr(place.rfind('/') + 1));
  return found == report.path.clocks.end() ? nullptr : &found->second;
}

}  // namespace

std::optional<RecordedError> recorded_error(const OwdReport& report, const ClockPair& pair,
                                            const ClockFit* stretch) {
  RecordedError both{0, true, true};
  for (const std::string* place : {&pair.a, &pair.b}) {
    const RecordedClock* clock = clock_of(report, *place);
    if (!clock) return {};
    auto said = clock->worst();
    if (stretch) {
      // The stretch is told by one of the clocks; the other was ahead or behind.
      const bool own = (place == &pair.b) == pair.by_b;
      const double ahead = own ? 0 : pair.ahead_ns(*stretch, stretch->begin) * (pair.by_b ? -1 : 1);
      said = clock->worst(pair.time_of(stretch->begin + ahead), pair.time_of(stretch->end + ahead));
    }
    if (!said) return {};
    both.ns += std::min(said->error_ns, UINT64_MAX - both.ns);
    both.synchronized &= said->synchronized;
    both.course &= clock->has_course();
  }
  return both;
}

std::vector<RecordedStep> recorded_steps(const OwdReport& report, const ClockPair& pair) {
  std::vector<RecordedStep> steps;
  for (const std::string* place : {&pair.a, &pair.b}) {
    const RecordedClock* clock = clock_of(report, *place);
    if (!clock) continue;
    for (const RecordedClock::Step& step : clock->steps()) steps.push_back({*place, step});
  }
  return steps;
}

}  // namespace fieldline::analysis
