// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "base/clock.h"

using namespace fieldline;

TEST_CASE("durations are sums of numbers with units") {
  constexpr std::uint64_t s = kNanosPerSecond;
  CHECK(parse_duration_ns("90") == 90 * s);
  CHECK(parse_duration_ns("90s") == 90 * s);
  CHECK(parse_duration_ns("10m") == 600 * s);
  CHECK(parse_duration_ns("10min") == 600 * s);
  CHECK(parse_duration_ns("1h30m") == 5400 * s);
  CHECK(parse_duration_ns("2d") == 172800 * s);
  CHECK(parse_duration_ns("250ms") == s / 4);
  CHECK(parse_duration_ns("5us") == 5000);
  CHECK(parse_duration_ns("7ns") == 7);
}

TEST_CASE("what is no duration is 0") {
  for (const char* bad :
       {"", "m", "10x", "-1s", "1.5h", "10 s", "s10", "10M", "99999999999s", "1000000000d",
        "1000000000h1000000000h1000000000h1000000000h1000000000h1000000000h", "0"}) {
    INFO(bad);
    CHECK(parse_duration_ns(bad) == 0);
  }
}

TEST_CASE("times are written in UTC with nanoseconds") {
  CHECK(format_utc(0) == "1970-01-01T00:00:00.000000000Z");
  CHECK(format_utc(1'800'000'000'123'456'789) == "2027-01-15T08:00:00.123456789Z");
  CHECK(format_utc(UINT64_MAX).size() == 30);
}

TEST_CASE("the system's clocks run, and monotonic time does not go back") {
  SystemClock clock;
  CHECK(clock.utc_ns() > 1'600'000'000 * kNanosPerSecond);
  auto first = clock.monotonic_ns();
  CHECK(clock.monotonic_ns() >= first);
  CHECK(clock.tai_ns() > 1'600'000'000 * kNanosPerSecond);
}
