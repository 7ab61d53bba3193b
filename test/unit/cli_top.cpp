// SPDX-License-Identifier: Apache-2.0
// The views of `fieldline top`: what is since the view before, in which order, and how wide.
#include <sstream>

#include <catch2/catch.hpp>

#include "cli/top_view.h"

using namespace fieldline;
using namespace fieldline::cli;
using analysis::FlowCounts;
using analysis::PathReport;

namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

FlowCounts counts(std::uint64_t packets, std::uint64_t bytes, std::uint64_t again = 0) {
  FlowCounts one;
  one.packets = one.data_packets = packets;
  one.payload_bytes = bytes;
  one.again_packets = again;
  one.first_ns = kSecond;
  one.last_ns = 11 * kSecond;
  return one;
}

PathReport report_of(const std::vector<FlowCounts>& forward) {
  PathReport report;
  report.first_ns = kSecond;
  report.last_ns = 11 * kSecond;
  for (std::size_t at = 0; at < forward.size(); ++at) {
    report.flows.push_back({*Address::parse("2001:db8:1111:2222:3333:4444:5555:6666"),
                            *Address::parse("2001:db8:1111:2222:3333:4444:5555:7777"),
                            static_cast<std::uint16_t>(50'000 + at), 52'001, 6});
  }
  report.forward.flows = forward;
  report.forward.points.resize(2);
  report.forward.points[0].name = "s1";
  report.forward.points[1].name = "s2";
  analysis::Section section;
  section.upstream = 0;
  section.downstream = 1;
  section.lost = 0;
  report.forward.sections = {section};
  return report;
}

}  // namespace

TEST_CASE("a view tells what was since the one before, the fastest first") {
  TopPacer pacer;
  const TopView first =
      pacer.view(report_of({counts(100, 10'000), counts(10, 1'000)}), kSecond, false);
  CHECK(first.interval_ns == 0);
  REQUIRE(first.rows.size() == 2);
  CHECK(first.rows[0].flow == 0);
  CHECK(first.rows[0].pace[0].bits_per_s == Approx(8000));  // of 10 s
  const TopView second =
      pacer.view(report_of({counts(101, 10'100), counts(30, 3'000, 5)}), kSecond, false);
  REQUIRE(second.rows.size() == 2);
  CHECK(second.rows[0].flow == 1);
  CHECK(second.rows[0].pace[0].bits_per_s == Approx(16'000));
  CHECK(second.rows[0].pace[0].again_packets == 5);
  const TopView third =
      pacer.view(report_of({counts(101, 10'100), counts(31, 3'100, 5)}), kSecond, false);
  REQUIRE(third.rows.size() == 1);  // the other one rests
  CHECK(third.rows[0].flow == 1);
}

TEST_CASE("the round trip of an interval is the mean of its own samples") {
  TopPacer pacer;
  FlowCounts one = counts(10, 1'000);
  one.rtt.add(10'000'000);
  pacer.view(report_of({one}), kSecond, false);
  one.packets += 2;
  one.rtt.add(20'000'000);
  one.rtt.add(40'000'000);
  const TopView view = pacer.view(report_of({one}), kSecond, false);
  CHECK(view.rows.at(0).pace[0].rtt_samples == 2);
  CHECK(view.rows.at(0).pace[0].rtt_ns == Approx(30'000'000));
}

TEST_CASE("counts that begin anew at another point do not become a huge number") {
  TopPacer pacer;
  pacer.view(report_of({counts(100, 10'000)}), kSecond, false);
  const TopView view = pacer.view(report_of({counts(50, 5'000)}), kSecond, false);
  CHECK(view.rows.at(0).pace[0].packets == 50);
}

TEST_CASE("losses are the flow's own, and unknown where two flows share their ports") {
  PathReport report = report_of({counts(10, 100), counts(10, 100)});
  analysis::LostPacket lost;
  lost.protocol = 6;
  lost.sport = 50'001;
  lost.dport = 52'001;
  report.forward.sections[0].lost = 1;
  report.forward.sections[0].lost_packets = {lost};
  CHECK(losses_of(report, false) == std::vector<FlowLosses>{{0}, {1}});
  report.flows[0].port_a = 50'001;
  report.flows[0].a = *Address::parse("10.0.0.1");
  CHECK(losses_of(report, false) == std::vector<FlowLosses>{{std::nullopt}, {std::nullopt}});
  report.flows[0].port_a = 50'000;
  report.forward.sections[0].lost = 2;  // more than are listed
  CHECK(losses_of(report, false) == std::vector<FlowLosses>{{std::nullopt}, {std::nullopt}});
}

TEST_CASE("the table fits a hundred columns with the widest addresses") {
  std::vector<FlowCounts> flows;
  for (std::size_t at = 0; at < 120; ++at)
    flows.push_back(counts(123'456'789, 999'444'333'222, 123'456));
  flows[0].rtt.add(148'123'456);
  PathReport report = report_of(flows);
  report.reverse.flows = flows;
  const std::string table = to_table(TopPacer().view(std::move(report), 0, true));
  CHECK(table.find("[2001:db8:1111:2222:3333:4444:5555:6666]:50000") != std::string::npos);
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) CHECK(line.size() <= 100);
}

TEST_CASE(
    "of a sample packets, payload and losses are multiplied, and what needs each is unknown") {
  PathReport report = report_of({counts(100, 10'000, 5)});
  for (auto& point : report.forward.points) point.sample_n = 4;
  report.forward.points[1].sample_n = 8;
  analysis::LostPacket lost;
  lost.protocol = 6;
  lost.sport = 50'000;
  lost.dport = 52'001;
  report.forward.sections[0].lost = 1;
  report.forward.sections[0].lost_packets = {lost};
  TopPacer pacer;
  const TopView view = pacer.view(report, kSecond, false);
  REQUIRE(view.rows.size() == 1);
  CHECK(view.rows[0].pace[0].packets == 400);
  CHECK(view.rows[0].pace[0].bits_per_s == Approx(32'000));
  CHECK(losses_of(view.report, false) == std::vector<FlowLosses>{{8}});  // the coarser end's
  const auto document = to_json(view);
  const auto& forward = document["flows"][0]["forward"];
  CHECK(document["forward"]["sample_n"] == 4);
  CHECK(document["forward"]["sections"][0]["lost"] == 8);
  CHECK(forward["packets"] == 400);
  CHECK(forward["retransmitted_packets"].is_null());
  CHECK(forward["interval"]["retransmitted_packets"].is_null());
  const std::string table = to_table(view);
  CHECK(table.find("~400") != std::string::npos);
  CHECK(table.find("~8") != std::string::npos);
  CHECK(table.find("one in 8 packets") != std::string::npos);
  report.forward.flows[0].packets += 2;
  CHECK(pacer.view(report, kSecond, false).rows.at(0).pace[0].packets == 8);
}

TEST_CASE("a run that is counted alone has a row for each point") {
  PathReport report = report_of({});
  report.flows.clear();
  report.forward.sections[0].by_counters = true;
  report.forward.sections[0].lost = std::nullopt;
  report.forward.sections.insert(report.forward.sections.begin(), report.forward.sections[0]);
  report.forward.points[0].seen = 1000;
  report.forward.points[0].bytes = 100'000;
  TopPacer pacer;
  CHECK(pacer.view(report, kSecond, false).points.at(0).packets == 1000);
  report.forward.points[0].seen = 1500;
  report.forward.points[0].bytes = 150'000;
  const TopView view = pacer.view(report, 2 * kSecond, false);
  REQUIRE(view.points.size() == 2);
  CHECK(view.points[0].packets == 500);
  CHECK(view.points[0].bits_per_s == Approx(200'000));
  const auto document = to_json(view);
  CHECK(document["counted"] == true);
  CHECK(document["forward"]["points"][0]["packets"] == 1500);
  CHECK(document["forward"]["points"][0]["interval"]["bytes"] == 50'000);
  CHECK(to_table(view).find("counters alone") != std::string::npos);
  report.forward.points[0].seen = 10;  // restarted, and its first life's counts are lost
  report.forward.points[0].bytes = 1000;
  CHECK(pacer.view(report, kSecond, false).points.at(0).packets == 10);
}
