// SPDX-License-Identifier: Apache-2.0
#include "app/outages.h"

#include <catch2/catch.hpp>

using namespace fieldline::app;
using fieldline::stream::LinkState;
using nlohmann::json;

TEST_CASE("An outage is told from its first failure to the next connection, with the first cause") {
  Outages outages;
  outages.note(LinkState::connecting, 1);
  outages.note(LinkState::connected, 2);
  CHECK(outages.since(0).empty());
  outages.note(LinkState::unreachable, 10);
  outages.note(LinkState::refused, 11);
  CHECK(outages.since(0) == json::parse(R"([{"from_ns":10,"until_ns":null,"why":"unreachable"}])"));
  outages.note(LinkState::connected, 20);
  outages.note(LinkState::wrong_key, 30);
  outages.note(LinkState::connected, 29);  // the clock was set back
  CHECK(outages.since(0) == json::parse(R"([{"from_ns":10,"until_ns":20,"why":"unreachable"},
                                            {"from_ns":30,"until_ns":30,"why":"wrong_key"}])"));
}

TEST_CASE("A run hears of the outages of its time, and of no more than are remembered") {
  Outages outages;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    outages.note(LinkState::unreachable, 100 * i + 10);
    outages.note(LinkState::connected, 100 * i + 20);
  }
  CHECK(outages.since(0).size() == Outages::kMost);
  CHECK(outages.since(99'915).size() == 1);
  CHECK(outages.since(99'921).empty());
}
