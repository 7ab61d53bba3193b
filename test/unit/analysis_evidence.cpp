// SPDX-License-Identifier: Apache-2.0
// Whether the evidence is complete; each way in which it is not has a line of its own.
#include <algorithm>

#include <catch2/catch.hpp>

#include "analysis/coverage.h"
#include "analysis/ledger.h"
#include "analysis_world.h"
#include "proto/frame.h"

using namespace world;
using analysis::PathReport;

namespace {

World small_net() {
  Config config;
  config.segments = 60;
  World net(config);
  net.run_tcp();
  return net;
}

bool says(const PathReport& report, const std::string& what) {
  return std::any_of(report.incomplete.begin(), report.incomplete.end(),
                     [&](const std::string& line) { return line.find(what) != std::string::npos; });
}

PathReport without(World& net, const std::function<bool(const Record&)>& gone) {
  const PathReport whole = report_of(net);
  REQUIRE(whole.complete);
  const auto analyzer = analysis::PathAnalyzer::create();
  feed_interfaces(*analyzer, net);
  for (const Record& record : net.records) {
    if (!gone(record)) feed_record(*analyzer, record);
  }
  feed_reports(*analyzer, net);
  return analyzer->report();
}

}  // namespace

TEST_CASE("evidence is complete when every final count equals what the archive has") {
  const World net = small_net();
  const PathReport report = report_of(net);
  CHECK(report.complete);
  CHECK(report.incomplete.empty());
  for (const auto& point : report.forward.points) {
    CHECK(point.final_counts);
    CHECK(point.seen == point.recorded);
    CHECK(point.session == session_of(point.sensor));
    CHECK(point.domain == "site-a");
  }
}

TEST_CASE("records that never came to the archive are named with their sensor and number") {
  World net = small_net();
  int skipped = 0;
  const PathReport report = without(net, [&](const Record& record) {
    return record.sensor == 1 && !record.reverse && record.number % 20 == 10 && ++skipped;
  });
  REQUIRE(skipped > 0);
  CHECK_FALSE(report.complete);
  CHECK(says(report, "sensor s2"));
  CHECK(says(report,
             session_of("s2") + " (" + std::to_string(skipped) + " item numbers are not here)"));
  CHECK(says(report, "forward: " + std::to_string(skipped) + " packets are in its final count"));
  CHECK_FALSE(says(report, "sensor s1"));
}

TEST_CASE("no final count: the session is named") {
  World net = small_net();
  const auto analyzer = analysis::PathAnalyzer::create();
  feed_interfaces(*analyzer, net);
  for (const Record& record : net.records) {
    if (record.number != 5) feed_record(*analyzer, record);
  }
  feed_reports(*analyzer, net, {.finals = false});
  const PathReport report = analyzer->report();
  CHECK_FALSE(report.complete);
  for (const char* sensor : {"s1", "s2", "s3"}) {
    CHECK(says(report,
               "no final count from session " + session_of(sensor) + " (sensor " + sensor + ")"));
  }
  CHECK(says(report, "1 item numbers are not here"));
  CHECK_FALSE(report.forward.points[0].final_counts);
  CHECK(report.forward.points[0].seen == report.forward.points[0].recorded);
}

TEST_CASE("a sensor that was restarted owes a final count for each session") {
  World net = small_net();
  const auto analyzer = analysis::PathAnalyzer::create();
  feed_interfaces(*analyzer, net);
  pcapng::Interface second;
  second.comment = nlohmann::json{{"run", run_id().hex()}, {"sensor", "s1"},
                                  {"domain", "site-a"},    {"port", 0},
                                  {"interface", "up"},     {"session", std::string(32, 'f')}}
                       .dump();
  REQUIRE(analyzer->feed(second).has_value());
  for (const Record& record : net.records) feed_record(*analyzer, record);
  feed_reports(*analyzer, net);
  const PathReport report = analyzer->report();
  CHECK_FALSE(report.complete);
  CHECK(says(report, std::string(32, 'f')));
  CHECK(report.forward.points.size() == 3);
  CHECK(report.forward.points[0].session.find(',') != std::string::npos);
}

TEST_CASE("a sensor that was activated twice owes two final counts") {
  World net = small_net();
  const auto analyzer = analysis::PathAnalyzer::create();
  feed_interfaces(*analyzer, net);
  for (const Record& record : net.records) feed_record(*analyzer, record);
  feed_reports(*analyzer, net);
  REQUIRE(analyzer->report().complete);
  feed_report(*analyzer, FL_FRAME_ACTIVATION,
              {{"event", "started"}, {"sensor", "s3"}, {"at_ns", net.now() + 9000 * kMs}});
  CHECK(says(analyzer->report(), "(sensor s3)"));
}

TEST_CASE("a sensor that died and came back is named with the time of which nothing is known") {
  const auto analyzer = analysis::PathAnalyzer::create();
  const std::uint64_t second = 1000 * kMs;
  const auto activation = [&](const char* session, const char* event, std::uint64_t at_ns) {
    feed_report(*analyzer, FL_FRAME_ACTIVATION,
                {{"event", event}, {"sensor", "s1"}, {"session", session}, {"at_ns", at_ns}});
  };
  const auto counts = [&](const char* session, std::uint64_t at_ns, bool final, unsigned ring) {
    const nlohmann::json flow = {{"packets", ring}, {"dropped_ring", ring}};
    feed_report(*analyzer, FL_FRAME_FINAL_COUNTS,
                {{"sensor", "s1"},
                 {"session", session},
                 {"at_ns", at_ns},
                 {"final", final},
                 {"gaps", nlohmann::json::array()},
                 {"flows", {{"forward", flow}, {"reverse", {{"packets", 0}}}}}});
  };
  activation("a", "started", kStart);
  counts("a", kStart + second, false, 0);
  activation("b", "started", kStart + 5 * second);
  counts("b", kStart + 6 * second, false, 3);
  activation("b", "ended", kStart + 7 * second);
  counts("b", kStart + 7 * second, true, 3);
  const PathReport report = analyzer->report();
  CHECK_FALSE(report.complete);
  CHECK(says(report, "s1 died, and what it saw is not known from "));
  CHECK(says(report, "s1 dropped 3 (ring) from "));
  const auto gaps = analysis::coverage_to_json(report)["gaps"];
  REQUIRE(gaps.size() == 2);
  CHECK(gaps[0] == nlohmann::json{{"sensor", "s1"},
                                  {"what", "blind"},
                                  {"cause", "died"},
                                  {"from_ns", kStart + second},
                                  {"until_ns", kStart + 5 * second},
                                  {"count", nullptr}});
  CHECK(gaps[1]["cause"] == "ring");
  CHECK(gaps[1]["count"] == 3);
  CHECK(analysis::coverage_to_table(report, false).find("\n   gap: s1 died") != std::string::npos);
}

TEST_CASE("what a sensor dropped itself puts the losses beside it in doubt") {
  Config config;
  config.segments = 60;
  config.drop = [](std::size_t at, const Wire& wire) {
    return at == 0 && !wire.reverse && wire.number == 30;
  };
  World net(config);
  net.run_tcp();
  const PathReport report = report_of(net, {.ring_drops = {{"s2", 4}}});
  CHECK_FALSE(report.complete);
  CHECK(says(report, "sensor s2, forward: dropped 4 itself (ring 4)"));
  CHECK(report.forward.points[1].dropped.at("ring") == 4);
  CHECK(report.forward.points[1].seen == report.forward.points[1].recorded + 4);
}

TEST_CASE("more records than the kernel counted are a mismatch too") {
  World net = small_net();
  const PathReport report = report_of(net, {.lie = {{"s3", static_cast<std::uint64_t>(-2)}}});
  CHECK_FALSE(report.complete);
  CHECK(says(report, "2 packets more than in its final count"));
}

TEST_CASE("a sensor that was activated and never heard from again is named") {
  World net = small_net();
  const auto analyzer = analysis::PathAnalyzer::create();
  feed_interfaces(*analyzer, net);
  for (const Record& record : net.records) feed_record(*analyzer, record);
  feed_reports(*analyzer, net);
  feed_report(*analyzer, FL_FRAME_ACTIVATION,
              {{"event", "started"}, {"sensor", "s4"}, {"at_ns", kStart}});
  CHECK(says(analyzer->report(), "no final count from sensor s4"));
}

TEST_CASE("what a NIC dropped in front of its sensor leaves the evidence in doubt") {
  for (const std::uint64_t dropped : {0u, 7u}) {
    World net = small_net();
    const auto analyzer = analysis::PathAnalyzer::create();
    feed_interfaces(*analyzer, net);
    for (const Record& record : net.records) feed_record(*analyzer, record);
    feed_reports(*analyzer, net);
    // Of a second life that saw none of the run's packets.
    const nlohmann::json none = {{"packets", 0}};
    feed_report(*analyzer, FL_FRAME_FINAL_COUNTS,
                {{"sensor", "s1"},
                 {"session", "second"},
                 {"at_ns", kStart},
                 {"final", true},
                 {"flows", {{"forward", none}, {"reverse", none}}},
                 {"nics", {{{"interface", "up"}, {"dropped", dropped}}, {{"dropped", "no"}}, 5}}});
    const PathReport report = analyzer->report();
    CHECK(report.complete == (dropped == 0));
    CHECK(says(report, "its NICs dropped 7 packets while the run was on") == (dropped == 7));
  }
}

TEST_CASE("refused activations are listed once for each reason") {
  World net = small_net();
  const auto analyzer = analysis::PathAnalyzer::create();
  feed_interfaces(*analyzer, net);
  for (const Record& record : net.records) feed_record(*analyzer, record);
  feed_reports(*analyzer, net);
  for (int pulse = 0; pulse < 3; ++pulse) {
    feed_report(*analyzer, FL_FRAME_ACTIVATION,
                {{"event", "refused"},
                 {"sensor", "s4"},
                 {"at_ns", kStart + static_cast<std::uint64_t>(pulse)},
                 {"rule", "rule 12"},
                 {"reason", "duration"}});
  }
  const PathReport report = analyzer->report();
  REQUIRE(report.refusals.size() == 1);
  CHECK(report.complete);
  CHECK(analysis::to_table(report).find("s4 refused: rule 12, duration") != std::string::npos);
}

TEST_CASE("no records at all is not complete evidence") {
  const auto analyzer = analysis::PathAnalyzer::create();
  const PathReport report = analyzer->report();
  CHECK_FALSE(report.complete);
  CHECK(says(report, "no header records"));
  CHECK(analysis::to_table(report).find("EVIDENCE incomplete") != std::string::npos);
}

TEST_CASE("the same item from two archives counts once") {
  World net = small_net();
  const auto analyzer = analysis::PathAnalyzer::create();
  for (int archive = 0; archive < 2; ++archive) {
    feed_interfaces(*analyzer, net);
    for (const Record& record : net.records) feed_record(*analyzer, record);
    feed_reports(*analyzer, net);
  }
  const PathReport report = analyzer->report();
  CHECK(report.complete);
  CHECK(report.ignored.at("packet_twice") == net.records.size());
  for (const auto& section : report.forward.sections) CHECK(section.lost == 0u);
}

TEST_CASE("two inputs may use the same interface numbers at once") {
  World net = small_net();
  const auto analyzer = analysis::PathAnalyzer::create();
  feed_interfaces(*analyzer, net);
  REQUIRE(analyzer->feed(pcapng::Section{}, 1).has_value());
  pcapng::Interface other;
  other.comment = R"({"run":"00000000000000000000000000000001","sensor":"s1"})";
  REQUIRE(analyzer->feed(other, 1).has_value());
  for (const Record& record : net.records) feed_record(*analyzer, record);
  feed_reports(*analyzer, net);
  const PathReport report = analyzer->report();
  CHECK(report.forward.points.size() == 3);
  CHECK(report.ignored.at("interface_of_other_run") == 1);
}

TEST_CASE("super-packets are named because they join with nothing") {
  World net = small_net();
  const auto analyzer = analysis::PathAnalyzer::create();
  feed_interfaces(*analyzer, net);
  pcapng::Packet packet;
  packet.data = net.records[0].frame;
  packet.meta =
      fl_chunk_packet{.magic = FL_PCAPNG_MAGIC, .digest = 1, .gso_size = 1448, .gso_segs = 20};
  REQUIRE(analyzer->feed(packet).has_value());
  CHECK(says(analyzer->report(), "20 packets came in super-packets"));
}

TEST_CASE("numbers that were met are told from those that were not") {
  analysis::NumberSet numbers;
  for (const std::uint64_t number : {5ull, 6ull, 1000ull, 7ull}) CHECK(numbers.insert(number));
  CHECK_FALSE(numbers.insert(6));
  CHECK(numbers.missing() == 996 - 4);
  CHECK(numbers.insert(UINT64_MAX));
}

TEST_CASE("coverage: seen is kept and dropped, and what passed a point unseen is its own") {
  Config config;
  config.segments = 100;
  World net(config);
  net.run_tcp();
  std::size_t blind = 0;
  std::erase_if(net.records, [&](const Record& record) {
    return record.sensor == 1 && !record.reverse && record.number % 10 == 0 && ++blind;
  });
  const PathReport report = report_of(net, {.ring_drops = {{"s2", blind}}});
  const auto covers = analysis::coverage_of(report);
  REQUIRE(covers.size() == 6);
  CHECK(covers[1].point->name == "s2");
  CHECK(covers[1].dropped == blind);
  CHECK(covers[1].passed_unseen == blind);
  for (const auto& cover : covers) CHECK(cover.unaccounted == 0);
  CHECK(covers[0].passed_unseen + covers[2].passed_unseen == 0);
  const auto document = analysis::coverage_to_json(report);
  CHECK(document["schema"] == "fieldline.coverage/1");
  CHECK(document["points"][1]["dropped"]["ring"] == blind);
  CHECK(document["complete"] == false);
  CHECK(analysis::coverage_to_table(report).find("ring " + std::to_string(blind)) !=
        std::string::npos);
}
