// SPDX-License-Identifier: Apache-2.0
// Which vantage points saw triggers, data, or both.
#include <catch2/catch.hpp>

#include "cli/spray.h"

using namespace fieldline;
using namespace fieldline::cli;
using nlohmann::json;

namespace {

WatchEvent event(WatchEvent::Kind kind, json document, std::uint8_t run = 1) {
  WatchEvent one;
  one.kind = kind;
  one.run.bytes[0] = run;
  document["sensor"] = document.value("sensor", "s1");
  one.document = std::move(document);
  return one;
}

json counts(json triggers, json points) {
  return {{"triggers", std::move(triggers)}, {"points", std::move(points)}};
}

json ports() {
  return {{"ports", json::array({{{"port", 0}, {"interface", "up"}},
                                 {{"port", 1}, {"interface", "down"}},
                                 {{"port", 2}, {"interface", "x\x1b[2J"}}})}};
}

}  // namespace

TEST_CASE("ports that saw triggers, data, both or neither") {
  using Kind = WatchEvent::Kind;
  SprayBoard board;
  json silent = ports();
  silent["sensor"] = "s9";
  board.take(event(Kind::configuration, silent));  // it was never on
  board.take(event(Kind::configuration, ports()));
  board.take(event(Kind::activation, {{"event", "started"}}));
  const json first =
      counts(json::array({{{"port", 0}, {"count", 3}}}),
             json::array({{{"port", 1}, {"direction", "forward"}, {"recorded", 5}}}));
  board.take(event(Kind::counts, first));
  board.take(event(Kind::counts, first));  // counts are from the run's begin
  board.take(event(Kind::counts, first, 2));
  board.take(
      event(Kind::counts,
            counts(json::array(),
                   json::array({{{"port", 1}, {"direction", "reverse"}, {"recorded", 7}},
                                {{"port", 7}, {"direction", "forward"}, {"recorded", 1}}}))));
  const auto rows = board.rows();
  REQUIRE(rows.size() == 4);
  CHECK(rows[0].vantage == "s1:up");
  CHECK(rows[0].triggers == 6);
  CHECK(std::string(rows[0].saw()) == "trigger");
  CHECK(rows[1].packets == 17);
  CHECK(std::string(rows[1].saw()) == "data");
  CHECK(rows[2].vantage.find('\x1b') == std::string::npos);
  CHECK(std::string(rows[2].saw()) == "neither");
  CHECK(rows[3].vantage == "s1:port7");
  CHECK(to_json(rows)[1] ==
        json{{"vantage", "s1:down"}, {"triggers", 0}, {"data", 17}, {"saw", "data"}});
  CHECK(render_spray(rows).find(" 6     0  trigger") != std::string::npos);
}

TEST_CASE("reports that are no objects") {
  SprayBoard board;
  board.take(event(WatchEvent::Kind::counts, counts(7, json::array({3, "x"}))));
  WatchEvent end;
  board.take(end);
  CHECK(board.rows().size() <= 1);
}
