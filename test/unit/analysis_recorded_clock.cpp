// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "analysis/owd.h"
#include "analysis_world.h"
#include "proto/frame.h"

using namespace world;
using analysis::RecordedClock;
using nlohmann::json;

namespace {

json said(std::uint64_t at_ns, std::uint64_t error_ns, bool synchronized = true,
          json steps = json::array()) {
  return {{"schema", "fieldline.clock_quality/1"},
          {"at_ns", at_ns},
          {"error_ns", error_ns},
          {"synchronized", synchronized},
          {"steps", std::move(steps)}};
}

json step(std::uint64_t from_ns, std::uint64_t to_ns, std::int64_t by_ns,
          const char* what = "utc") {
  return {{"what", what}, {"from_ns", from_ns}, {"to_ns", to_ns}, {"by_ns", by_ns}};
}

constexpr std::uint64_t kSecond = 1000 * kMs;

}  // namespace

TEST_CASE("the worst that a clock said of a time is told, and of another time not") {
  RecordedClock clock;
  CHECK_FALSE(clock.worst());
  CHECK(clock.take_start({{"max_error_ns", 77}, {"synchronized", true}}));
  CHECK(clock.worst()->error_ns == 77);
  CHECK_FALSE(clock.has_course());
  for (std::uint64_t i = 0; i < 10; ++i)
    REQUIRE(clock.take(said(kStart + i * kSecond, i == 7 ? 9000 : 100 + i, i != 3)));
  CHECK(clock.has_course());
  CHECK(clock.worst()->error_ns == 9000);
  CHECK_FALSE(clock.worst()->synchronized);
  const auto early = clock.worst(kStart + 4 * kSecond, kStart + 6 * kSecond);
  CHECK(early->error_ns == 106);
  CHECK(early->synchronized);
  CHECK(clock.worst(kStart + 7 * kSecond, kStart + 7 * kSecond)->error_ns == 9000);
  // Nothing was said then.
  CHECK(clock.worst(0, 1)->error_ns == 9000);
}

TEST_CASE("a course of weeks takes bounded memory and keeps its worst") {
  RecordedClock clock;
  const std::uint64_t seconds = 100'000;
  for (std::uint64_t i = 0; i < seconds; ++i)
    REQUIRE(clock.take(said(kStart + i * kSecond, i == 54'321 ? 5'000'000 : 10)));
  CHECK(clock.worst()->error_ns == 5'000'000);
  CHECK(clock.worst(kStart + 54'321 * kSecond, kStart + 54'322 * kSecond)->error_ns == 5'000'000);
  CHECK(clock.worst(kStart + 50'000 * kSecond, kStart + 50'100 * kSecond)->error_ns == 10);
}

TEST_CASE("steps are told by time, once though two archives tell them") {
  RecordedClock clock;
  const json both = {step(kStart + 5, kStart + 6, -3'000'000'000),
                     step(kStart + 1, kStart + 2, 37'000'000'000, "tai_offset")};
  for (int archive = 0; archive < 2; ++archive) REQUIRE(clock.take(said(kStart, 1, true, both)));
  const auto steps = clock.steps();
  REQUIRE(steps.size() == 2);
  CHECK(steps[0].of_tai_offset);
  CHECK(steps[1].by_ns == -3'000'000'000);
  for (std::uint64_t i = 0; i < 1000; ++i)
    REQUIRE(clock.take(said(kStart, 1, true, {step(kStart + i, kStart + 10 + i, 1)})));
  CHECK(clock.steps().size() == 64);
}

TEST_CASE("documents that are not a clock's are refused whole") {
  const json good = said(kStart, 100, true, {step(1, 2, 3)});
  REQUIRE(RecordedClock().take(good));
  for (const char* member : {"at_ns", "error_ns", "steps"}) {
    for (const json& bad : {json(), json("x"), json(-1), json(1.5), json::object()}) {
      json document = good;
      document[member] = bad;
      INFO(document.dump());
      CHECK_FALSE(RecordedClock().take(document));
    }
  }
  for (const char* member : {"from_ns", "to_ns", "by_ns", "what"}) {
    json document = good;
    document["steps"][0].erase(member);
    CHECK_FALSE(RecordedClock().take(document));
  }
  CHECK_FALSE(RecordedClock().take(json::array()));
  CHECK_FALSE(RecordedClock().take_start(json(3)));
}

TEST_CASE("owd holds offsets against what the clocks said in that time, and names their steps") {
  Config config;
  config.sensors = 2;
  config.names = {"s1", "s2"};
  config.segments = 4000;
  config.clock_ns = {0, 40 * static_cast<std::int64_t>(kMs)};
  World net(config);
  net.run_tcp();
  const auto analyzer = analysis::PathAnalyzer::create();
  feed_interfaces(*analyzer, net);
  for (const Record& record : net.records) feed_record(*analyzer, record);
  for (const char* sensor : {"s1", "s2"}) {
    for (std::uint64_t i = 0; i < 20; ++i) {
      const std::uint64_t at = kStart + i * kSecond;
      json document =
          said(at, i == 15 ? 800'000 : 2000, true,
               i == 15 ? json::array({step(at - kSecond, at, 250'000'000)}) : json::array());
      document["sensor"] = sensor;
      feed_report(*analyzer, FL_FRAME_CLOCK_QUALITY, document);
    }
  }
  feed_reports(*analyzer, net);
  const auto report = analysis::measure_one_way(analyzer->report());
  CHECK(report.path.ignored.empty());
  const auto document = to_json(report);
  const auto& pair = document["clocks"].at(0);
  CHECK(pair["recorded_error_ns"] == 1'600'000);
  CHECK(pair["recorded_synchronized"] == true);
  CHECK(pair["recorded_course"] == true);
  REQUIRE(pair["recorded_steps"].size() == 2);
  CHECK(pair["recorded_steps"][0]["place"] == pair["a"]);
  CHECK(pair["recorded_steps"][0]["by_ns"] == 250'000'000);
  // The packets took some seconds, in which nothing was wrong.
  REQUIRE(net.now() < kStart + 10 * kSecond);
  CHECK(pair["stretches"].at(0)["recorded_error_ns"] == 4000);
  CHECK(to_table(report).find("s1 itself saw its clock set by +250.000 ms between T+1") !=
        std::string::npos);
}
