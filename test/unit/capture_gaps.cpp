// SPDX-License-Identifier: Apache-2.0
#include "capture/gaps.h"

#include <catch2/catch.hpp>

using namespace fieldline::capture;

namespace {

constexpr std::uint64_t s = 1'000'000'000;

}  // namespace

TEST_CASE("A second without a drop ends a gap") {
  Gaps gaps;
  CHECK(gaps.list().empty());
  gaps.note({11 * s, 11 * s + 5, 2});
  gaps.note({11 * s + s / 2, 11 * s + s / 2, 1});
  gaps.note({14 * s, 14 * s, 4});
  REQUIRE(gaps.list().size() == 2);
  CHECK(gaps.list()[0].from_ns == 11 * s);
  CHECK(gaps.list()[0].until_ns == 11 * s + s / 2);
  CHECK(gaps.list()[0].count == 3);
  CHECK(gaps.list()[1].from_ns == 14 * s);
  CHECK(gaps.list()[1].count == 4);
}

TEST_CASE("A batch of another CPU may hold the earlier record") {
  Gaps gaps;
  gaps.note({20 * s, 21 * s, 1});
  gaps.note({19 * s, 20 * s, 1});
  REQUIRE(gaps.list().size() == 1);
  CHECK(gaps.list()[0].from_ns == 19 * s);
  CHECK(gaps.list()[0].until_ns == 21 * s);
}

TEST_CASE("Gaps are bounded, and their counts sum up to all that was dropped") {
  Gaps gaps;
  for (std::uint64_t i = 0; i < 500; ++i) gaps.note({(20 + 3 * i) * s, (20 + 3 * i) * s, 2});
  REQUIRE(gaps.list().size() == Gaps::kMost);
  CHECK(gaps.list().back().until_ns == (20 + 3 * 499) * s);
  std::uint64_t sum = 0;
  for (const Gap& gap : gaps.list()) sum += gap.count;
  CHECK(sum == 1000);
}
