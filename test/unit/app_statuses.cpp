// SPDX-License-Identifier: Apache-2.0
#include "app/statuses.h"

#include <catch2/catch.hpp>

using namespace fieldline;
using fieldline::app::Statuses;
using nlohmann::json;

namespace {

RunId session(std::uint8_t byte) {
  RunId id;
  id.bytes.fill(byte);
  return id;
}

stream::ProducerHello hello(const char* name, std::uint8_t key) {
  stream::ProducerHello hello;
  hello.name = name;
  hello.key.fill(key);
  return hello;
}

json status(const char* sensor, int runs, const char* role = "sensor") {
  return {{"sensor", sensor}, {"role", role}, {"runs", runs}};
}

}  // namespace

TEST_CASE("OneSensorSpeaksForAnother: a status that names another is refused and counted") {
  Statuses statuses;
  statuses.opened(session(1), hello("s1", 1));
  statuses.opened(session(2), hello("s2", 2));
  REQUIRE(statuses.take(session(1), status("s1", 7)).has_value());
  auto forged = statuses.take(session(2), status("s1", 0));
  REQUIRE_FALSE(forged.has_value());
  CHECK(forged.error().code == Code::denied);
  CHECK(forged.error().text().find("'s2' with key SHA256:0202") != std::string::npos);
  CHECK(forged.error().text().find("names 's1'") != std::string::npos);
  CHECK_FALSE(statuses.take(session(2), json::object()).has_value());
  CHECK_FALSE(statuses.take(session(2), {{"sensor", 7}}).has_value());
  CHECK_FALSE(statuses.take(session(3), status("s1", 0)).has_value());
  CHECK(statuses.refused() == 4);
  CHECK(statuses.list() == json::array({status("s1", 7)}));
}

TEST_CASE("Two of one name, each with its own key, do not take each other's place") {
  Statuses statuses;
  statuses.opened(session(1), hello("s1", 1));
  statuses.opened(session(2), hello("s1", 2));
  REQUIRE(statuses.take(session(1), status("s1", 7)).has_value());
  REQUIRE(statuses.take(session(2), status("s1", 0)).has_value());
  CHECK(statuses.size() == 2);
}

TEST_CASE(
    "A sensor's newest word is shown once, whatever its session; its host role stands beside it") {
  Statuses statuses;
  statuses.opened(session(1), hello("s1", 1));
  statuses.opened(session(2), hello("s1", 1));
  REQUIRE(statuses.take(session(1), status("s1", 7)).has_value());
  REQUIRE(statuses.take(session(2), status("s1", 8)).has_value());
  CHECK(statuses.list() == json::array({status("s1", 8)}));
  REQUIRE(statuses.take(session(1), status("s1", 1, "host")).has_value());
  CHECK(statuses.size() == 2);
  statuses.closed(session(2));
  CHECK(statuses.list() == json::array({status("s1", 1, "host")}));
}
