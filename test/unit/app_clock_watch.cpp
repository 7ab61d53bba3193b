// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "app/clock_watch.h"
#include "app/reports.h"

using namespace fieldline;
using namespace fieldline::app;

namespace {

// Each reading takes `cost_ns`, and every `pause_every`-th one `pause_ns`, as on a busy machine.
class Fake final : public Clock {
 public:
  std::uint64_t utc_ns() const override { return utc_at_zero + tick(); }
  std::uint64_t monotonic_ns() const override { return tick(); }
  std::uint64_t boot_time_ns() const { return asleep_ns + tick(); }
  std::uint64_t tai_ns() const override { return utc_ns() + tai_offset_s * kNanosPerSecond; }

  std::uint64_t utc_at_zero = 1'700'000'000 * kNanosPerSecond, tai_offset_s = 0;
  std::uint64_t cost_ns = 30, pause_ns = 0;
  std::uint64_t asleep_ns = 0;  // suspended: CLOCK_MONOTONIC has stood still for so long
  unsigned pause_every = 0;
  mutable std::uint64_t now = 5 * kNanosPerSecond;
  mutable unsigned readings = 0;

 private:
  std::uint64_t tick() const {
    ++readings;
    return now += pause_every != 0 && readings % pause_every == 0 ? pause_ns : cost_ns;
  }
};

std::vector<ClockStep> second(ClockWatch& watch, Fake& clock) {
  clock.now += kNanosPerSecond;
  watch.look();
  return watch.take();
}

}  // namespace

TEST_CASE("a clock that was set is told with how much and when") {
  for (const std::int64_t by : {3'000'000'000l, -3'000'000'000l, 200'000l, -200'000l}) {
    Fake clock;
    ClockWatch watch(clock, [&] { return clock.boot_time_ns(); });
    CHECK(second(watch, clock).empty());
    const std::uint64_t before = clock.utc_ns();
    clock.utc_at_zero += static_cast<std::uint64_t>(by);
    const auto steps = second(watch, clock);
    REQUIRE(steps.size() == 1);
    CHECK(steps[0].what == ClockStep::What::utc);
    CHECK(std::abs(steps[0].by_ns - by) < 1000);
    CHECK(steps[0].from_ns < before);
    CHECK(steps[0].from_ns > before - 1000);
    CHECK(steps[0].to_ns - steps[0].from_ns - kNanosPerSecond - static_cast<std::uint64_t>(by) <
          2000);
    CHECK(second(watch, clock).empty());
    CHECK(watch.steps() == 1);
  }
}

TEST_CASE(
    "SuspendIsNoStep: a host that slept has set no clock, and one that was set while it slept "
    "has") {
  Fake clock;
  ClockWatch watch(clock, [&] { return clock.boot_time_ns(); });
  CHECK(second(watch, clock).empty());
  const std::uint64_t hour = 3600 * kNanosPerSecond;
  clock.asleep_ns += hour;
  clock.utc_at_zero += hour;
  CHECK(second(watch, clock).empty());
  clock.asleep_ns += hour;
  clock.utc_at_zero += hour + kNanosPerSecond;
  const auto steps = second(watch, clock);
  REQUIRE(steps.size() == 1);
  CHECK(std::abs(steps[0].by_ns - static_cast<std::int64_t>(kNanosPerSecond)) < 1000);
}

TEST_CASE("a TAI offset that is set in mid-run is a step of what packets are stamped with") {
  Fake clock;
  ClockWatch watch(clock, [&] { return clock.boot_time_ns(); });
  clock.tai_offset_s = 37;
  const auto steps = second(watch, clock);
  REQUIRE(steps.size() == 1);
  CHECK(steps[0].what == ClockStep::What::tai_offset);
  CHECK(steps[0].by_ns == 37'000'000'000);
}

TEST_CASE("readings that were interrupted are no steps") {
  Fake clock;
  clock.pause_every = 5;
  clock.pause_ns = 40'000'000;
  ClockWatch watch(clock, [&] { return clock.boot_time_ns(); });
  for (int i = 0; i < 200; ++i) CHECK(second(watch, clock).empty());
  clock.pause_every = 2;  // every single one of them
  for (int i = 0; i < 200; ++i) CHECK(second(watch, clock).empty());
  CHECK(watch.steps() == 0);
}

TEST_CASE("a clock that is set all the time is counted, and not remembered without end") {
  Fake clock;
  ClockWatch watch(clock, [&] { return clock.boot_time_ns(); });
  for (int i = 0; i < 100; ++i) {
    clock.utc_at_zero += kNanosPerSecond;
    watch.look();
  }
  CHECK(watch.steps() == 100);
  CHECK(watch.take().size() == 16);
  CHECK(watch.take().empty());
}

TEST_CASE("the clock's report is as json.md says") {
  ClockQuality quality;
  quality.sensor = "s1";
  quality.at_ns = 9;
  quality.tai_offset_s = 37;
  quality.kernel.source = "tsc";
  quality.kernel.offset_ns = -250;
  quality.kernel.max_error_ns = 1'000'000;
  quality.kernel.estimated_error_ns = 70'000;
  quality.kernel.frequency_ppm = -1.5;
  quality.steps_so_far = 4;
  quality.steps = {{ClockStep::What::utc, 5, 8, -3'000'000'000}};
  auto expected = nlohmann::json::parse(R"({"schema":"fieldline.clock_quality/1","sensor":"s1",
      "at_ns":9,"tai_offset_s":37,"source":"tsc","by":"kernel","synchronized":false,
      "error_ns":1000250,"stamps_early_by_ns":0,"kernel":{"synchronized":false,"offset_ns":-250,"max_error_ns":1000000,
      "estimated_error_ns":70000,"frequency_ppm":-1.5},"chrony":null,"steps_so_far":4,
      "steps":[{"what":"utc","from_ns":5,"to_ns":8,"by_ns":-3000000000}]})");
  CHECK(clock_report(quality) == expected);
  quality.chrony = {true, 3, 20, 5000, 400};
  expected["by"] = "chrony";
  expected["synchronized"] = true;
  expected["error_ns"] = 2920;
  expected["chrony"] = {{"synchronized", true},
                        {"stratum", 3},
                        {"offset_ns", 20},
                        {"root_delay_ns", 5000},
                        {"root_dispersion_ns", 400}};
  CHECK(clock_report(quality) == expected);
  quality.chrony->synchronized = false;
  CHECK(clock_report(quality)["by"] == "kernel");
  CHECK(clock_report(quality)["error_ns"] == 1'000'250);
  // What packets are stamped too early by is an error of their time like any other.
  quality.stamps_early_by_ns = 30'000;
  CHECK(clock_report(quality)["error_ns"] == 1'030'250);
  CHECK(clock_report(quality)["stamps_early_by_ns"] == 30'000);
}
