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
