// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "analysis/delay_series.h"

using fieldline::analysis::DelaySample;
using fieldline::analysis::DelaySeries;

namespace {

constexpr std::uint64_t kStart = 1'700'000'000'000'000'000;

DelaySeries series_of(const std::vector<DelaySample>& samples) {
  DelaySeries series;
  for (const DelaySample& sample : samples) series.add(sample);
  return series;
}

std::uint64_t count(const DelaySeries& series) {
  std::uint64_t count = 0;
  for (const auto& bin : series.bins()) count += bin.count;
  return count;
}

bool is_in_order(const DelaySeries& series) {
  return std::is_sorted(series.bins().begin(), series.bins().end(),
                        [](const auto& a, const auto& b) { return a.from_ns <= b.from_ns; });
}

}  // namespace

TEST_CASE("delays are held by the upstream clock's 100 ms, with the time of each minimum") {
  const auto series = series_of({{kStart + 10, 500},
                                 {kStart + 30, 300},
                                 {kStart + 20, 900},
                                 {kStart + 150'000'000, -700},
                                 {kStart + 40, 300}});
  REQUIRE(series.bins().size() == 2);
  const auto& first = series.bins().front();
  CHECK(series.width_ns() == 100'000'000);
  CHECK(first.from_ns == kStart);
  CHECK(first.count == 4);
  CHECK(first.min_ns == 300);
  CHECK(first.min_at_ns == kStart + 30);
  CHECK(first.max_ns == 900);
  CHECK(first.sum_ns == Approx(2000));
  CHECK(series.bins().back().min_ns == -700);
  CHECK(series.bins().back().max_ns == -700);
}

TEST_CASE("a long run's bins are merged, whatever the order in which its packets come") {
  std::minstd_rand random(7);
  std::vector<DelaySample> samples;
  for (std::uint64_t at = 0; at < 40'000; ++at)
    samples.push_back({kStart + at * 50'000'000, static_cast<std::int64_t>(random() % 1'000'000)});
  const auto in_order = series_of(samples);
  CHECK(in_order.bins().size() <= DelaySeries::kBinsMax);
  CHECK(in_order.bins().size() > DelaySeries::kBinsMax / 4);
  CHECK(count(in_order) == samples.size());
  std::shuffle(samples.begin(), samples.end(), random);
  const auto shuffled = series_of(samples);
  REQUIRE(shuffled.bins().size() == in_order.bins().size());
  CHECK(shuffled.width_ns() == in_order.width_ns());
  for (std::size_t at = 0; at < in_order.bins().size(); ++at) {
    const auto &a = in_order.bins()[at], &b = shuffled.bins()[at];
    CHECK((a.from_ns == b.from_ns && a.count == b.count && a.min_ns == b.min_ns &&
           a.max_ns == b.max_ns && a.min_at_ns == b.min_at_ns));
  }
}

TEST_CASE("hostile times and delays hold no memory and overflow nothing") {
  DelaySeries series;
  std::mt19937_64 random(3);
  std::uint64_t added = 0;
  for (const std::uint64_t time : {std::uint64_t{0}, UINT64_MAX, kStart, UINT64_MAX - 1}) {
    for (const std::int64_t delay : {INT64_MIN, std::int64_t{0}, INT64_MAX}) {
      series.add({time, delay});
      ++added;
    }
  }
  CHECK(series.bins().size() == 3);
  for (; added < 100'000; ++added) series.add({random(), static_cast<std::int64_t>(random())});
  CHECK(series.bins().size() <= DelaySeries::kBinsMax);
  CHECK(count(series) == added);
  CHECK(is_in_order(series));
}

TEST_CASE(
    "a bin's 99th percentile is that of a hundred samples or more, its neighbours' if need be") {
  std::vector<DelaySample> samples;
  const auto second_of = [&](std::uint64_t begin_ns, int count, std::int64_t from) {
    for (int at = 0; at < count; ++at)
      samples.push_back({begin_ns + static_cast<std::uint64_t>(at) * 100'000, from + at});
  };
  second_of(kStart, 200, 1000);               // by itself
  second_of(kStart + 100'000'000, 60, 5000);  // two together
  second_of(kStart + 200'000'000, 60, 7000);
  second_of(kStart + 300'000'000, 50, 9000);  // too few
  const auto series = series_of(samples);
  std::shuffle(samples.begin(), samples.end(), std::mt19937(7));
  const auto told = fieldline::analysis::p99_of(series, samples);
  REQUIRE(told.size() == 4);
  CHECK(told[0] == 1197);  // the 198th of 200
  CHECK(told[1] == 7058);  // the 119th of 120
  CHECK(told[2] == told[1]);
  CHECK_FALSE(told[3].has_value());
}
