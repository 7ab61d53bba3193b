// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <random>

#include "capture/port_totals.h"

using namespace fieldline;
using namespace fieldline::capture;

namespace {

constexpr std::uint64_t kMs = 1'000'000, kUtc = 1'700'000'000'000 * kMs;

TotalsReading at(std::uint64_t ms, std::vector<PortTotal> ports, std::int64_t clock_ns = 0) {
  return {kUtc + ms * kMs + static_cast<std::uint64_t>(clock_ns), 5 * kMs + ms * kMs,
          std::move(ports)};
}

TotalsBody parsed(const Bytes& body) {
  auto totals = parse_totals(body);
  REQUIRE(totals.has_value());
  return *totals;
}

}  // namespace

TEST_CASE("port totals are what was counted between two readings") {
  PortTotals totals({}, {0, 1});
  totals.read(at(0, {{100, 9000}, {7, 700}}));
  CHECK(totals.periods() == 0);
  CHECK(totals.take().empty());
  totals.read(at(10, {{103, 9300}, {7, 700}}));
  totals.read(at(20, {{103, 9300}, {8, 760}}));
  CHECK(totals.length_ns() == 20 * kMs);
  const Bytes bytes = totals.take();
  const TotalsBody body = parsed(bytes);
  REQUIRE(body.periods == 2);
  CHECK(body.period(0).begin_ns == kUtc);
  CHECK(body.period(0).length_ns == 10 * kMs);
  CHECK(body.total(0, 0) == PortTotal{3, 300});
  CHECK(body.total(0, 1) == PortTotal{0, 0});
  CHECK(body.total(1, 1) == PortTotal{1, 60});
  CHECK(totals.length_ns() == 0);
}

TEST_CASE("a late reading makes a longer period, and nothing is missed") {
  std::mt19937 random(20261122);
  const PortTotal first{1000, 64'000};
  PortTotal counter = first, sum;
  PortTotals totals({}, {4});
  std::uint64_t ms = 0, covered = 0;
  totals.read(at(ms, {counter}));
  for (int i = 0; i < 1000; ++i) {
    ms += random() % 50 == 0 ? 1 + random() % 400 : 10;
    counter.packets += random() % 1000;
    counter.bytes += random() % 1'000'000;
    totals.read(at(ms, {counter}));
    if (totals.length_ns() < 1000 * kMs && i != 999) continue;
    const Bytes bytes = totals.take();
    const TotalsBody body = parsed(bytes);
    for (std::uint32_t period = 0; period < body.periods; ++period) {
      CHECK(body.period(period).begin_ns == kUtc + covered);
      covered += body.period(period).length_ns;
      sum.packets += body.total(period, 0).packets;
      sum.bytes += body.total(period, 0).bytes;
    }
  }
  CHECK(covered == ms * kMs);
  CHECK(sum == PortTotal{counter.packets - first.packets, counter.bytes - first.bytes});
}

TEST_CASE("a clock that was set makes no period longer") {
  PortTotals totals({}, {0});
  totals.read(at(0, {{0, 0}}));
  totals.read(at(10, {{1, 100}}, 3'000'000'000));
  totals.read(at(20, {{2, 200}}, -3'000'000'000));
  const Bytes bytes = totals.take();
  const TotalsBody body = parsed(bytes);
  CHECK(body.period(0).length_ns == 10 * kMs);
  CHECK(body.period(1).begin_ns == kUtc + 3010 * kMs);
  CHECK(body.period(1).length_ns == 10 * kMs);
}

TEST_CASE("what passed while nobody read is in no period") {
  PortTotals totals({}, {0});
  totals.read(at(0, {{0, 0}}));
  totals.read(at(10, {{1, 100}}));
  totals.end();
  totals.read(at(5000, {{900, 90'000}}));
  totals.read(at(5010, {{901, 90'100}}));
  const Bytes bytes = totals.take();
  const TotalsBody body = parsed(bytes);
  REQUIRE(body.periods == 2);
  CHECK(body.total(1, 0) == PortTotal{1, 100});
  CHECK(body.period(1).begin_ns == kUtc + 5000 * kMs);
}

TEST_CASE("a counter that began anew gives what it has counted since") {
  PortTotals totals({}, {0});
  totals.read(at(0, {{500, 50'000}}));
  totals.read(at(10, {{3, 300}}));
  const Bytes bytes = totals.take();
  CHECK(parsed(bytes).total(0, 0) == PortTotal{3, 300});
}
