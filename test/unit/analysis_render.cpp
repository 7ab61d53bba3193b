// SPDX-License-Identifier: Apache-2.0
// The table that a user sees and the document that a program reads.
#include <catch2/catch.hpp>

#include "analysis/path.h"

using namespace fieldline;
using namespace fieldline::analysis;

namespace {

PathReport sample() {
  PathReport report;
  report.run = RunId::parse("7f3a9c00000000000000000000000001").value();
  report.principal = "ops@site-a";
  report.grant = {
      {"protocol", 6}, {"host_a", "10.0.0.1"}, {"host_b", "10.0.3.2"}, {"pairs", {{0, 5201}}}};
  report.first_ns = 1'000'000'000;
  report.last_ns = 61'000'000'000;
  Point s1, s2;
  s1.name = s1.sensor = "s1";
  s2.name = s2.sensor = "s2";
  s1.bytes = 16'425'000'000;
  report.forward.points = {s1, s2};
  Section before, between, after;
  before.downstream = 0;
  before.packets = 81'240;
  before.lost = 0;
  between.upstream = 0;
  between.downstream = 1;
  between.packets = 81'240;
  between.lost = 16;
  between.reordered = 2;
  between.delay = {81'224, 10'000'000, 10'031'000, 10'214'000};
  between.lost_packets.resize(1);
  between.lost_packets[0].digest = 0xabc;
  between.lost_packets[0].sequence = 88'301'443;
  after.upstream = 1;
  after.packets = 81'224;
  after.note = "UDP and other protocols: no receiver's evidence";
  report.forward.sections = {before, between, after};
  report.complete = true;
  return report;
}

}  // namespace

TEST_CASE("the table, line by line") {
  const std::string expected =
      "run 7f3a9c  60.0 s, 2.19 Gb/s, ops@site-a, tcp 10.0.0.1 - 10.0.3.2 port 5201\n"
      "-> SECTION              PKTS  LOST  REORD  +p50ms  +p99ms\n"
      "before s1             81,240     0      0       -       -\n"
      "s1 - s2               81,240    16      2   10.03   10.21\n"
      "after s2              81,224     ?      -       -       -\n"
      "   ? after s2: UDP and other protocols: no receiver's evidence\n"
      "<- no packet was seen in this direction\n"
      "EVIDENCE complete\n";
  CHECK(to_table(sample()) == expected);
}

TEST_CASE("control characters of others never reach the terminal") {
  PathReport report = sample();
  report.principal = "evil\033[2J";
  report.forward.points[0].name = "s1\r\nEVIDENCE complete";
  report.refusals.push_back({{"sensor", "s\033c"}, {"reason", "\a"}});
  const std::string table = to_table(report);
  CHECK(table.find('\033') == std::string::npos);
  CHECK(table.find('\a') == std::string::npos);
  CHECK(table.find('\r') == std::string::npos);
}

TEST_CASE("incomplete evidence says why") {
  PathReport report = sample();
  report.complete = false;
  report.incomplete = {"no final count from session X (sensor s1)"};
  const std::string table = to_table(report);
  CHECK(table.find("EVIDENCE incomplete\n   incomplete: no final count from session X") !=
        std::string::npos);
}

TEST_CASE("the document has what docs/format/path.md says") {
  const nlohmann::json document = to_json(sample());
  CHECK(document["schema"] == "fieldline.path/1");
  CHECK(document["run"] == "7f3a9c00000000000000000000000001");
  const auto& sections = document["forward"]["sections"];
  REQUIRE(sections.size() == 3);
  CHECK(sections[0]["from"].is_null());
  CHECK(sections[1]["from"] == "s1");
  CHECK(sections[1]["to"] == "s2");
  CHECK(sections[1]["lost"] == 16);
  CHECK(sections[1]["delay"]["p99_ns"] == 10'214'000);
  CHECK(sections[1]["lost_packets"][0]["digest"] == "0000000000000abc");
  CHECK(sections[1]["lost_packets"][0]["sequence"] == 88'301'443);
  CHECK(sections[2]["lost"].is_null());
  CHECK(sections[2]["delay"].is_null());
  for (const char* member : {"principal", "grant", "first_ns", "last_ns", "reverse", "complete",
                             "incomplete", "refusals", "ignored"}) {
    CHECK(document.contains(member));
  }
}
