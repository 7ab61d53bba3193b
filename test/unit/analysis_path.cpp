// SPDX-License-Identifier: Apache-2.0
// Loss, delay, order and duplicates, compared with what the simulated network did.
#include <algorithm>
#include <random>

#include <catch2/catch.hpp>

#include "analysis_world.h"

using namespace world;
using analysis::PathReport;
using analysis::Section;
using Names = std::vector<std::string>;

namespace {

// Data packets that were sent the first time, in mid-stream.
bool nth_original(const Wire& wire, std::uint64_t nth) {
  return wire.payload > 0 && !wire.again && wire.number % nth == 0 && wire.number < 380;
}

void check_only(const PathReport& report, std::size_t link, std::size_t expected) {
  for (std::size_t at = 0; at < report.forward.sections.size(); ++at) {
    INFO("section " << at << ", dropped on link " << link);
    REQUIRE(report.forward.sections[at].lost.has_value());
    CHECK(*report.forward.sections[at].lost == (at == link ? expected : 0));
  }
}

}  // namespace

TEST_CASE("each link: the section named and the packets lost are the injector's") {
  const std::size_t link = GENERATE(0u, 1u, 2u, 3u);
  const bool ipv6 = GENERATE(false, true);
  const bool timestamps = GENERATE(false, true);
  Config config;
  config.ipv6 = ipv6;
  config.timestamps = timestamps;
  config.drop = [link](std::size_t at, const Wire& wire) {
    return at == link && !wire.reverse &&
           (nth_original(wire, 37) || (wire.number == 75 && !wire.again));
  };
  World net(config);
  net.run_tcp();
  const auto& injected = net.dropped[{link, false}];
  REQUIRE(injected.size() >= 10);
  const PathReport report = report_of(net);
  CAPTURE(analysis::to_table(report));
  REQUIRE(names(report.forward) == Names{"s1", "s2", "s3"});
  REQUIRE(names(report.reverse) == Names{"s3", "s2", "s1"});
  check_only(report, link, injected.size());
  const Section& section = report.forward.sections[link];
  CHECK(lost_ranges(section) == ranges(injected));
  if (link != 0) CHECK(lost_digests(section) == digests(injected));
  CHECK(report.complete);
  CHECK(report.ignored.empty());
}

TEST_CASE("lost retransmissions count behind the first point") {
  const std::size_t link = GENERATE(1u, 2u, 3u);
  Config config;
  config.ipv6 = GENERATE(false, true);
  config.drop = [link](std::size_t at, const Wire& wire) {
    return at == link && !wire.reverse && wire.payload > 0 && wire.number % 20 < 2 &&
           wire.number < 300;
  };
  World net(config);
  net.run_tcp();
  const PathReport report = report_of(net);
  const auto& injected = net.dropped[{link, false}];
  CAPTURE(analysis::to_table(report));
  check_only(report, link, injected.size());
  CHECK(lost_digests(report.forward.sections[link]) == digests(injected));
}

TEST_CASE("lost acknowledgements are named between the points and unknown at the ends") {
  Config config;
  config.drop = [](std::size_t at, const Wire& wire) {
    return at == 1 && wire.reverse && wire.number % 9 == 0;
  };
  World net(config);
  net.run_tcp();
  const PathReport report = report_of(net);
  REQUIRE(report.reverse.sections.size() == 4);
  // Link 1 lies between s2 and s1; seen from B it is the last section but one.
  CHECK(lost_digests(report.reverse.sections[2]) == digests(net.dropped[{1, true}]));
  CHECK(report.reverse.sections[1].lost == 0u);
  CHECK_FALSE(report.reverse.sections[0].lost);
  CHECK_FALSE(report.reverse.sections[3].lost);
  CHECK_FALSE(report.reverse.sections[0].note.empty());
  for (const Section& section : report.forward.sections) CHECK(section.lost == 0u);
}

TEST_CASE("reordering is counted where it happens and is never loss") {
  const std::size_t link = GENERATE(0u, 1u, 2u);
  Config config;
  config.ids = GENERATE(true, false);
  config.timestamps = GENERATE(true, false);
  // Longer than three packets take, shorter than half a round trip.
  config.hold = [link](std::size_t at, const Wire& wire) {
    return at == link && nth_original(wire, 50) ? 4 * kMs : 0;
  };
  World net(config);
  net.run_tcp();
  const PathReport report = report_of(net);
  CAPTURE(analysis::to_table(report));
  std::uint64_t newest = 0, overtaken = 0;
  for (const Record& record : net.records) {
    if (record.reverse || record.sensor != link) continue;
    overtaken += record.sent < newest;
    newest = std::max(newest, record.sent);
  }
  REQUIRE(overtaken >= 4);
  for (std::size_t at = 0; at < 4; ++at) {
    CHECK(report.forward.sections[at].lost == 0u);
    CHECK(report.forward.sections[at].reordered == (at == link ? overtaken : 0u));
    CHECK(report.forward.sections[at].note.empty());
  }
}

TEST_CASE("a spurious retransmission that a DSACK names is not loss behind the last point") {
  Config config;
  // Held back on the last link long enough for a retransmission: both copies arrive.
  config.hold = [](std::size_t at, const Wire& wire) {
    return at == 3 && nth_original(wire, 60) ? 60 * kMs : 0;
  };
  World net(config);
  net.run_tcp();
  REQUIRE(net.spurious >= 6);
  const PathReport report = report_of(net);
  CAPTURE(analysis::to_table(report));
  for (const Section& section : report.forward.sections) CHECK(section.lost == 0u);
}

TEST_CASE("copies made by the network are duplicates of their section") {
  const bool ipv6 = GENERATE(false, true);
  Config config;
  config.ipv6 = ipv6;
  config.copy = [](std::size_t at, const Wire& wire) { return at == 1 && nth_original(wire, 40); };
  World net(config);
  net.run_tcp();
  const PathReport report = report_of(net);
  CAPTURE(analysis::to_table(report));
  CHECK(report.forward.sections[1].duplicated == 9);
  CHECK(report.forward.sections[2].duplicated == 0);
  for (const Section& section : report.forward.sections) {
    CHECK(section.lost == 0u);
    CHECK(section.appeared == 0);
  }
}

TEST_CASE("delays are those of the links, shifted by the clocks") {
  Config config;
  config.clock_ns = {0, 3 * static_cast<std::int64_t>(kMs), 0};
  World net(config);
  net.run_tcp();
  const PathReport report = report_of(net);
  CHECK(report.forward.sections[1].delay.p50_ns == 13'000'000);
  CHECK(report.forward.sections[2].delay.p99_ns == 2'000'000);
  CHECK(report.forward.sections[1].delay.samples == report.forward.points[0].recorded);
  CHECK(report.reverse.sections[2].delay.min_ns == 7'000'000);
  CHECK(report.forward.sections[0].delay.samples == 0);
  const auto& bins = report.forward.sections[1].delays.bins();
  REQUIRE(bins.size() > 1);
  CHECK(bins.front().from_ns == kStart);
  CHECK(bins.front().min_at_ns == kStart + kMs);
  CHECK(bins.front().min_ns == 13'000'000);
  CHECK(report.forward.sections[1].delay_samples.size() == report.forward.points[0].recorded);
}

TEST_CASE("the order of points is the path's, whatever their names, clocks and order of arrival") {
  Config config;
  config.names = {"s9", "s1", "s5"};
  // s1 and s5 are the two ends of one wire whose delay is far below the offset of their clocks.
  const bool one_wire = GENERATE(true, false);
  if (one_wire) {
    config.routers = {1, 1, 0};
    config.delay_ns[2] = 20'000;
  }
  const auto offset =
      static_cast<std::int64_t>(GENERATE(0, -20, 20)) * static_cast<std::int64_t>(kMs);
  config.clock_ns = {0, 0, offset};
  config.segments = 60;
  World net(config);
  net.run_tcp();
  std::mt19937 random(7);
  for (int round = 0; round < 3; ++round) {
    std::shuffle(net.records.begin(), net.records.end(), random);
    const PathReport report = report_of(net);
    CHECK(names(report.forward) == Names{"s9", "s1", "s5"});
    CHECK(names(report.reverse) == Names{"s5", "s1", "s9"});
    for (const Section& section : report.forward.sections) CHECK(section.lost == 0u);
    CHECK(report.complete);
  }
}

TEST_CASE("sequence numbers may wrap") {
  const std::size_t link = GENERATE(0u, 3u);
  Config config;
  config.isn = UINT32_MAX - 100'500;
  config.drop = [link](std::size_t at, const Wire& wire) {
    return at == link && !wire.reverse &&
           (nth_original(wire, 31) || (!wire.again && wire.number == 103));
  };
  World net(config);
  net.run_tcp();
  const PathReport report = report_of(net);
  check_only(report, link, net.dropped[{link, false}].size());
  CHECK(lost_ranges(report.forward.sections[link]) == ranges(net.dropped[{link, false}]));
}

TEST_CASE("UDP: exact between points, unknown at both ends") {
  Config config;
  config.ipv6 = GENERATE(false, true);
  config.drop = [](std::size_t at, const Wire& wire) {
    return at == 2 ? wire.number % 10 == 0 : wire.number % 33 == 0 && at != 1;
  };
  World net(config);
  net.run_udp(500);
  const PathReport report = report_of(net);
  CAPTURE(analysis::to_table(report));
  CHECK_FALSE(report.forward.sections[0].lost);
  CHECK_FALSE(report.forward.sections[3].lost);
  CHECK(report.forward.sections[3].note.find("no receiver's evidence") != std::string::npos);
  CHECK(report.forward.sections[1].lost == 0u);
  CHECK(lost_digests(report.forward.sections[2]) == digests(net.dropped[{2, false}]));
  CHECK(report.reverse.points.empty());
}

TEST_CASE("a packet that a later point saw is not lost before it") {
  Config config;
  config.segments = 100;
  World net(config);
  net.run_tcp();
  std::size_t blind = 0;
  std::erase_if(net.records, [&](const Record& record) {
    return record.sensor == 1 && !record.reverse && record.number % 10 == 0 && ++blind;
  });
  const PathReport report = report_of(net);
  CHECK(report.forward.sections[1].lost == 0u);
  CHECK(report.forward.sections[1].unseen == blind);
  CHECK(report.forward.sections[2].appeared == blind);
}

TEST_CASE("ports that share a load are one point") {
  Config config;
  config.segments = 100;
  World net(config);
  net.run_tcp();
  const auto analyzer = analysis::PathAnalyzer::create();
  feed_interfaces(*analyzer, net);
  pcapng::Interface member;
  member.comment = nlohmann::json{{"run", run_id().hex()}, {"sensor", "s2"},
                                  {"domain", "site-a"},    {"port", 2},
                                  {"interface", "up2"},    {"session", session_of("s2")}}
                       .dump();
  REQUIRE(analyzer->feed(member).has_value());
  for (Record record : net.records) {
    if (record.sensor == 1 && !record.reverse && record.digest % 2) {
      record.sensor = 3;  // the seventh interface
    }
    feed_record(*analyzer, record);
  }
  feed_reports(*analyzer, net);
  const PathReport report = analyzer->report();
  CAPTURE(analysis::to_table(report));
  REQUIRE(names(report.forward) == Names{"s1", "s2", "s3"});
  CHECK(report.forward.points[1].interface == "up+up2");
  CHECK(report.forward.sections[1].lost == 0u);
  CHECK(report.complete);
}
