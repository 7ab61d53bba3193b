// SPDX-License-Identifier: Apache-2.0
// Which flows of a run stand side by side, and which of them is slow.
#include "analysis/streams.h"

#include <catch2/catch.hpp>

using namespace fieldline::analysis;

namespace {

WhyFlow flow(std::uint64_t bytes, Limit limit, bool minor = false) {
  WhyFlow made;
  made.host = "a";
  made.reverse = false;
  made.minor = minor;
  made.facts.first_ns = 1'000'000'000;
  made.facts.last_ns = 5'000'000'000;
  made.facts.acked = bytes;
  made.total[limit] = 4'000'000'000;
  return made;
}

}  // namespace

TEST_CASE("streams: the one with less than half of the others' median is slow") {
  std::vector<WhyFlow> flows = {flow(900'000, Limit::cwnd), flow(800'000, Limit::cwnd),
                                flow(700'000, Limit::cwnd), flow(390'000, Limit::send_buffer)};
  auto found = side_by_side(flows);
  REQUIRE(found.streams.size() == 4);
  CHECK(found.others == 1'600'000);
  CHECK(found.slowest == &flows[3]);
  flows[3].facts.acked = 410'000;
  CHECK(side_by_side(flows).slowest == nullptr);
}

TEST_CASE("streams: one that began late is not slow for its few bytes") {
  std::vector<WhyFlow> flows = {flow(900'000, Limit::cwnd), flow(100'000, Limit::cwnd)};
  flows[1].facts.first_ns = 4'600'000'000;
  CHECK(side_by_side(flows).slowest == nullptr);
}

TEST_CASE("streams: a control connection is none, a stalled stream with as few bytes is") {
  std::vector<WhyFlow> flows = {flow(900'000, Limit::cwnd), flow(800'000, Limit::cwnd),
                                flow(300, Limit::application, true), flow(200, Limit::loss, true)};
  auto found = side_by_side(flows);
  REQUIRE(found.streams.size() == 3);
  CHECK(found.slowest == &flows[3]);
}

TEST_CASE("streams: other directions and other hosts stand on their own") {
  std::vector<WhyFlow> flows = {flow(900'000, Limit::cwnd), flow(800'000, Limit::cwnd),
                                flow(700'000, Limit::cwnd)};
  flows[1].reverse = true;
  flows[2].host = "b";
  CHECK(side_by_side(flows).streams.empty());
  CHECK(side_by_side({}).streams.empty());
}
