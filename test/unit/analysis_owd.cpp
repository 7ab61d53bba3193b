// SPDX-License-Identifier: Apache-2.0
// One-way delays from whole records, and from sections made by hand.
#include <catch2/catch.hpp>

#include <cmath>
#include <random>

#include "analysis/owd.h"
#include "analysis_world.h"

using namespace world;
using analysis::DelaySample;
using analysis::Direction;
using analysis::measure_one_way;
using analysis::OneWay;
using analysis::OwdReport;
using analysis::Point;
using analysis::Section;

namespace {

constexpr auto kSignedMs = static_cast<std::int64_t>(kMs);

// What the report says b is ahead of a by, at its first stretch's begin; within the error.
void check_ahead(const OwdReport& report, const std::string& a, const std::string& b,
                 std::int64_t ahead_ns, std::int64_t most_error_ns) {
  for (const auto& pair : report.clocks) {
    if (!(pair.a == a && pair.b == b) && !(pair.a == b && pair.b == a)) continue;
    const double sign = pair.a == a ? 1 : -1;
    REQUIRE(pair.course.stretches.size() == 1);
    const auto& fit = pair.course.stretches[0];
    REQUIRE(fit.known);
    CHECK(std::abs(sign * pair.ahead_ns(fit, fit.begin) - static_cast<double>(ahead_ns)) <=
          fit.error);
    CHECK(fit.error <= static_cast<double>(most_error_ns));
    return;
  }
  FAIL("no clocks " << a << ", " << b);
}

void check_delay(const OwdReport& report, const OneWay& way, std::int64_t truth_ns) {
  INFO("section " << way.section << (way.reverse ? " reverse" : ""));
  REQUIRE(way.kind == OneWay::Kind::known);
  CHECK(std::abs(way.delay.min_ns - truth_ns) <= way.error_ns);
  CHECK(way.delay.min_ns <= way.delay.p50_ns);
  CHECK(way.delay.p50_ns <= way.delay.p99_ns);
  CHECK((!way.pair || *way.pair < report.clocks.size()));
}

// Two places of a hand-made report; clocks[i] is what place i is ahead by.
class Made {
 public:
  Made(std::vector<std::int64_t> clocks, std::vector<double> drifts)
      : clocks_(std::move(clocks)), drifts_(std::move(drifts)) {}

  // A direction over these places, its packets each `delay_ns` and a queue under way.
  Direction direction(const std::vector<std::size_t>& places, std::int64_t delay_ns) {
    Direction direction;
    for (const std::size_t place : places) {
      Point point;
      point.name = point.sensor = "s" + std::to_string(place);
      direction.points.push_back(point);
    }
    direction.sections.resize(places.size() + 1);
    direction.sections.front().downstream = 0;
    direction.sections.back().upstream = static_cast<int>(places.size()) - 1;
    for (std::size_t at = 0; at + 1 < places.size(); ++at) {
      Section& section = direction.sections[at + 1];
      section.upstream = static_cast<int>(at);
      section.downstream = static_cast<int>(at) + 1;
      for (std::uint64_t packet = 0; packet < 4000; ++packet) {
        const auto queue = static_cast<std::int64_t>(random_() % 3 ? random_() % kMs : 0);
        const std::uint64_t sent = packet * 5 * kMs;
        const std::uint64_t arrived = sent + static_cast<std::uint64_t>(delay_ns + queue);
        const std::uint64_t up = reading(places[at], sent);
        const DelaySample sample{up,
                                 static_cast<std::int64_t>(reading(places[at + 1], arrived) - up)};
        section.delays.add(sample);
        section.delay_samples.push_back(sample);
      }
      section.delay.samples = section.delay_samples.size();
      section.delay.min_ns = section.delay_samples.front().delay_ns;
      for (const auto& sample : section.delay_samples)
        section.delay.min_ns = std::min(section.delay.min_ns, sample.delay_ns);
    }
    return direction;
  }

 private:
  std::uint64_t reading(std::size_t place, std::uint64_t time) const {
    const double ahead =
        static_cast<double>(clocks_[place]) + drifts_[place] * static_cast<double>(time);
    return kStart + time + static_cast<std::uint64_t>(std::llround(ahead));
  }

  std::vector<std::int64_t> clocks_;
  std::vector<double> drifts_;
  std::minstd_rand random_{11};
};

}  // namespace

TEST_CASE("delays of a whole run are those of the links, whatever the clocks are set to") {
  Config config;
  config.clock_ns = {0, 3000 * kSignedMs, -7'200'000 * kSignedMs};
  World net(config);
  net.run_tcp();
  const OwdReport report = measure_one_way(report_of(net));
  REQUIRE(report.clocks.size() == 2);
  check_ahead(report, "s1", "s2", 3000 * kSignedMs, 11 * kSignedMs);
  check_ahead(report, "s2", "s3", -7'203'000 * kSignedMs, 6 * kSignedMs);
  REQUIRE(report.ways.size() == 4);
  for (const OneWay& way : report.ways) {
    const auto link = way.reverse ? config.delay_ns.size() - 1 - way.section : way.section;
    check_delay(report, way, static_cast<std::int64_t>(config.delay_ns[link]));
  }
  CHECK(report.whole);
  const auto document = analysis::to_json(report);
  CHECK(document["schema"] == "fieldline.owd/1");
  CHECK(document["clocks"][0]["stretches"][0]["known"] == true);
  CHECK(document["clocks"][0]["recorded_error_ns"].is_null());
  CHECK(document["sections"][0]["delay"]["samples"] == report.ways[0].delay.samples);
  CHECK(analysis::to_table(report).find("s2 against s1") != std::string::npos);
}

TEST_CASE("3 s and 50 ppm over neighbours, where the packets take another way back") {
  Made made({0, 3'000'000'000, -1'000'000'000}, {0, 50e-6, -20e-6});
  analysis::PathReport path;
  path.first_ns = kStart;
  path.forward = made.direction({0, 1, 2}, 10 * kSignedMs);
  path.reverse = made.direction({2, 0}, 15 * kSignedMs);
  const OwdReport report = measure_one_way(std::move(path));
  REQUIRE(report.clocks.size() == 3);
  check_ahead(report, "s0", "s1", 3'000'000'000, 20 * kSignedMs);
  check_ahead(report, "s1", "s2", -4'000'000'000, 20 * kSignedMs);
  check_ahead(report, "s0", "s2", -1'000'000'000, 20 * kSignedMs);
  const auto& first = report.clocks[0];
  CHECK(first.back == std::vector<std::string>{"s2", "s0"});
  const auto& fit = first.course.stretches[0];
  CHECK(std::abs(fit.drift - 50e-6) <= fit.drift_error);
  CHECK(fit.drift_error < 20e-6);
  for (const OneWay& way : report.ways)
    check_delay(report, way, (way.reverse ? 15 : 10) * kSignedMs);
  CHECK(analysis::to_table(report).find("bounded by packets over s2") != std::string::npos);
}

TEST_CASE("of a section that one direction crosses only the variation is told") {
  Made made({0, 3'000'000'000}, {0, 0});
  analysis::PathReport path;
  path.first_ns = kStart;
  path.forward = made.direction({0, 1}, 10 * kSignedMs);
  const OwdReport report = measure_one_way(std::move(path));
  REQUIRE(report.ways.size() == 1);
  CHECK(report.ways[0].kind == OneWay::Kind::variation);
  CHECK(report.ways[0].delay.min_ns == 0);
  CHECK(report.ways[0].delay.p99_ns < kSignedMs);
  CHECK_FALSE(report.whole);
  const auto document = analysis::to_json(report);
  CHECK(document["sections"][0]["delay"].is_null());
  CHECK(document["sections"][0]["error_ns"].is_null());
  CHECK(document["sections"][0]["variation"]["samples"] == 4000);
  CHECK(analysis::to_table(report).find("no packet came from s1 to s0") != std::string::npos);
}

TEST_CASE("a clock that is set back shows some times twice, and is followed by the other") {
  Made before({0, 0}, {0, 0}), after({0, 0}, {0, 0});
  const auto with_step = [&](const std::vector<std::size_t>& places) {
    Direction direction = before.direction(places, 10 * kSignedMs), made;
    Section& section = direction.sections[1];
    const bool from_first = places[0] == 0;
    analysis::DelaySeries series;
    for (DelaySample& sample : section.delay_samples) {
      // The first place's clock goes back by 2 s after 8 s.
      const bool later = sample.time_ns >= kStart + 8000 * kMs;
      if (later) sample.delay_ns += (from_first ? 2000 : -2000) * kSignedMs;
      if (later && from_first) sample.time_ns -= 2000 * kMs;
      series.add(sample);
    }
    section.delays = series;
    return direction;
  };
  analysis::PathReport path;
  path.first_ns = kStart;
  path.forward = with_step({0, 1});
  path.reverse = with_step({1, 0});
  const OwdReport report = measure_one_way(std::move(path));
  REQUIRE(report.clocks.size() == 1);
  const auto& course = report.clocks[0].course;
  CHECK(report.clocks[0].by_b);
  REQUIRE(course.steps.size() == 1);
  CHECK(course.steps[0].certain);
  CHECK(std::abs(course.steps[0].by - 2e9) <= course.steps[0].error);
  for (const OneWay& way : report.ways) {
    check_delay(report, way, 10 * kSignedMs);
    CHECK(way.delay.p99_ns < 12 * kSignedMs);
    CHECK(way.partly);
  }
  CHECK_FALSE(report.whole);
  CHECK(analysis::to_table(report).find("stepped by +2.0") != std::string::npos);
}

TEST_CASE("hostile clocks are undecided, and cost nothing") {
  std::mt19937_64 random(9);
  for (int round = 0; round < 20; ++round) {
    Made made({0, 0}, {0, 0});
    analysis::PathReport path;
    path.forward = made.direction({0, 1}, kSignedMs);
    path.reverse = made.direction({1, 0}, kSignedMs);
    for (Direction* direction : {&path.forward, &path.reverse}) {
      for (int i = 0; i < 50; ++i) {
        DelaySample sample{random(), static_cast<std::int64_t>(random())};
        if (i == 0) sample = {0, INT64_MIN};
        if (i == 1) sample = {UINT64_MAX, INT64_MAX};
        direction->sections[1].delays.add(sample);
        direction->sections[1].delay_samples.push_back(sample);
      }
    }
    const OwdReport report = measure_one_way(std::move(path));
    CHECK(report.clocks.size() == 1);
    CHECK(!analysis::to_table(report).empty());
    CHECK(analysis::to_json(report).dump().size() < 100'000);
  }
}

TEST_CASE("one vantage point measures nothing, and says so") {
  const OwdReport report = measure_one_way({});
  CHECK(report.ways.empty());
  CHECK_FALSE(report.whole);
  CHECK(analysis::to_table(report).find("no section to measure") != std::string::npos);
}
