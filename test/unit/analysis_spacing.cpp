// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <random>

#include <catch2/catch.hpp>

#include "analysis/spacing.h"

using namespace fieldline::analysis;

TEST_CASE("a spread's percentile is within an eighth of the value, its moments exact") {
  for (std::uint32_t seed = 1; seed <= 30; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<std::uint64_t> values;
    Spread whole, left, right;
    const unsigned shift = seed * 2;
    for (int i = 0; i < 1000; ++i) {
      values.push_back(random() >> (random() % 8) >> shift);
      whole.add(values.back());
      (i % 3 ? left : right).add(values.back());
    }
    left.merge(right);
    std::sort(values.begin(), values.end());
    for (const Spread* spread : {&whole, &left}) {
      CHECK(spread->count() == 1000);
      CHECK(spread->least() == values.front());
      CHECK(spread->greatest() == values.back());
      for (const unsigned percent : {1u, 50u, 99u, 100u}) {
        const std::uint64_t exact = values[1000 * percent / 100 - 1];
        CHECK(spread->percentile(percent) >= exact);
        CHECK(static_cast<double>(spread->percentile(percent)) <=
              static_cast<double>(exact) * 1.125 + 1);
      }
      double mean = 0, squares = 0;
      for (const auto value : values) mean += static_cast<double>(value) / 1000;
      for (const auto value : values) squares += std::pow(static_cast<double>(value) - mean, 2);
      CHECK(spread->mean() == Approx(mean));
      CHECK(spread->deviation() == Approx(std::sqrt(squares / 999)));
    }
  }
}

TEST_CASE("of nothing, and of one, a spread has no deviation") {
  Spread spread;
  CHECK(spread.percentile(50) == 0);
  CHECK(spread.least() == 0);
  spread.add(UINT64_MAX);
  CHECK(spread.percentile(50) == UINT64_MAX);
  CHECK(spread.deviation() == 0);
}

TEST_CASE("gaps are one less than what passed, and never negative") {
  Spacing spacing;
  spacing.see(100, 10);
  spacing.see(150, 20);
  spacing.see(120, 30);
  CHECK(spacing.sizes().count() == 3);
  CHECK(spacing.bytes() == 60);
  CHECK(spacing.gaps().count() == 2);
  CHECK(spacing.gaps().least() == 0);
  CHECK(spacing.gaps().greatest() == 50);
}
