// SPDX-License-Identifier: Apache-2.0
// Captures that know of no run: joined by what is in the packets.
#include <algorithm>

#include <catch2/catch.hpp>

#include "analysis/captures.h"
#include "analysis/packet.h"
#include "analysis_world.h"

using namespace world;
using analysis::CaptureSurvey;
using analysis::HostPair;
using analysis::PathReport;

namespace {

// What each sensor of the world saw is a file with one interface.
struct Files {
  const World& net;
  std::vector<std::string> names{"b", "a", "c"};
  std::optional<std::uint64_t> dropped;

  // Blocks of all files, by time.
  void feed(const std::function<void(std::size_t, const pcapng::Block&)>& take) const {
    for (std::size_t file = 0; file < names.size(); ++file) take(file, pcapng::Interface{});
    for (const Record& record : net.records) {
      pcapng::Packet packet;
      packet.timestamp_ns = record.time;
      packet.wire_len = record.wire_len;
      packet.data = record.frame;
      take(record.sensor, packet);
    }
    if (!dropped) return;
    for (std::size_t file = 0; file < names.size(); ++file) {
      pcapng::Statistics statistics;
      statistics.dropped = *dropped;
      take(file, statistics);
    }
  }

  PathReport report(const std::optional<HostPair>& hosts = std::nullopt) const {
    CaptureSurvey survey;
    for (const auto& name : names) survey.add(name);
    feed([&](std::size_t file, const pcapng::Block& block) { survey.see(file, block); });
    REQUIRE(survey.settle(hosts).has_value());
    const auto analyzer = analysis::PathAnalyzer::of_captures(std::move(survey));
    feed([&](std::size_t file, const pcapng::Block& block) {
      REQUIRE(analyzer->feed(block, file).has_value());
    });
    return analyzer->report();
  }
};

Address address(const char* text) {
  return *Address::parse(text);
}

}  // namespace

TEST_CASE("captures whose clocks are hours apart are joined, and the lost segments named") {
  const std::size_t link = GENERATE(0u, 1u, 2u, 3u);
  Config config;
  config.segments = 3000;
  config.pace_ns = 10 * kMs;
  config.ipv6 = GENERATE(false, true);
  config.clock_ns = {0, 7'200'000 * static_cast<std::int64_t>(kMs), -40'000'000};
  config.drop = [link](std::size_t at, const Wire& wire) {
    return at == link && !wire.reverse && !wire.again && wire.number % 397 == 0;
  };
  World net(config);
  net.run_tcp();
  const PathReport report = Files{net}.report();
  CAPTURE(analysis::to_table(report));
  CHECK(names(report.forward) == std::vector<std::string>{"b", "a", "c"});
  CHECK(report.captures == std::vector<std::string>{"b", "a", "c"});
  for (std::size_t at = 0; at < 4; ++at) {
    const auto truth =
        net.dropped.count({at, false}) ? ranges(net.dropped[{at, false}]) : decltype(ranges({}))();
    CHECK(lost_ranges(report.forward.sections[at]) == truth);
  }
}

TEST_CASE("what a capture's recorder dropped is known only if the file says so") {
  Config config;
  config.segments = 50;
  World net(config);
  net.run_tcp();
  const PathReport silent = Files{net}.report();
  CHECK_FALSE(silent.complete);
  CHECK(silent.incomplete.size() == 1);
  Files files{net};
  files.dropped = 0;
  CHECK(files.report().complete);
  files.dropped = 7;
  const PathReport dropped = files.report();
  CHECK_FALSE(dropped.complete);
  CHECK(dropped.forward.points[0].dropped == std::map<std::string, std::uint64_t>{{"capture", 7}});
}

TEST_CASE("a capture that began late and ended early loses nothing by it") {
  Config config;
  config.segments = 4000;
  World net(config);
  net.run_tcp();
  std::erase_if(net.records, [](const Record& record) {
    const std::uint64_t at = record.time - kStart;
    return record.sensor == 1 && (at < 300 * kMs || at > 1500 * kMs);
  });
  const PathReport report = Files{net}.report();
  CAPTURE(analysis::to_table(report));
  for (const auto& section : report.forward.sections) {
    CHECK(section.lost == 0u);
    CHECK(section.appeared == 0);
  }
}

TEST_CASE("a flow that one capture was not asked for is not lost there") {
  Config config;
  config.segments = 300;
  World net(config);
  net.run_tcp();
  config.port = 50'000;
  World other(config);
  other.run_tcp();
  net.records.insert(net.records.end(), other.records.begin(), other.records.end());
  std::stable_sort(net.records.begin(), net.records.end(),
                   [](const Record& a, const Record& b) { return a.time < b.time; });
  std::erase_if(net.records, [](const Record& record) {
    const auto info = analysis::parse_packet(record.frame, record.wire_len);
    return record.sensor == 1 && (info.sport == 50'000 || info.dport == 50'000);
  });
  const PathReport report = Files{net}.report();
  CAPTURE(analysis::to_table(report));
  for (const auto& section : report.forward.sections) CHECK(section.lost == 0u);
}

TEST_CASE("a capture that begins 80,000 packets later has its place, and hides no loss") {
  Config config;
  config.segments = 120'000;
  config.window = 200;
  config.pace_ns = kMs / 10;
  config.drop = [](std::size_t at, const Wire& wire) {
    return at == 1 && !wire.reverse && !wire.again && wire.number > 100'000 &&
           wire.number % 997 == 0;
  };
  World net(config);
  net.run_tcp();
  std::size_t passed = 0;
  std::erase_if(net.records, [&](const Record& record) {
    passed += record.sensor == 0 && !record.reverse;
    return record.sensor == 1 && passed < 80'000;
  });
  const PathReport report = Files{net, {"z", "y", "a"}}.report();
  CHECK(names(report.forward) == std::vector<std::string>{"z", "y", "a"});
  CHECK(lost_ranges(report.forward.sections[1]) == ranges(net.dropped[{1, false}]));
  CHECK(report.forward.sections[2].lost == 0u);
}

TEST_CASE("captures that go on as they began are read once, with the answer of two readings") {
  const bool damaged = GENERATE(false, true);
  Config config;
  config.segments = 2000;
  config.timestamps = true;
  config.drop = [](std::size_t at, const Wire& wire) {
    return at == 1 && !wire.reverse && !wire.again && wire.number % 97 == 0;
  };
  World net(config);
  net.run_tcp();
  // Behind what is looked at first, somebody's snaplen was in the middle of the options.
  if (damaged) net.records[net.records.size() / 2].frame.resize(60);
  const Files files{net};
  CaptureSurvey beginning, rest;
  for (const auto& name : files.names) {
    beginning.add(name);
    rest.add(name);
  }
  std::size_t seen = 0;
  files.feed([&](std::size_t file, const pcapng::Block& block) {
    if (++seen < 500) beginning.see(file, block);
  });
  CHECK_FALSE(CaptureSurvey(rest).assume(rest));  // nothing was seen
  REQUIRE(beginning.settle(std::nullopt).has_value());
  REQUIRE(rest.assume(beginning));
  const auto analyzer = analysis::PathAnalyzer::of_captures(std::move(rest));
  const auto feed = [&](analysis::PathAnalyzer& to) {
    files.feed([&](std::size_t file, const pcapng::Block& block) {
      REQUIRE(to.feed(block, file).has_value());
    });
    const auto ended = to.end();
    REQUIRE(ended.has_value());
    return *ended;
  };
  const auto expected = to_json(files.report());
  const bool held = feed(*analyzer);
  CHECK(held == !damaged);
  if (held) {
    CHECK(to_json(analyzer->report()) == expected);
    return;
  }
  const auto again = analysis::PathAnalyzer::of_captures(std::move(*analyzer->survey()));
  CHECK(feed(*again));
  CHECK(to_json(again->report()) == expected);
}

TEST_CASE("hosts: the busiest pair, or the one that is asked for") {
  World net(Config{});
  net.run_tcp();
  const Files files{net};
  const HostPair as_it_is{address("10.10.10.2"), address("10.10.10.1")};
  const PathReport report = files.report(as_it_is);
  CHECK(report.grant["host_a"] == "10.10.10.1");  // who sends more is A
  CaptureSurvey survey;
  for (const auto& name : files.names) survey.add(name);
  files.feed([&](std::size_t file, const pcapng::Block& block) { survey.see(file, block); });
  const auto settled = survey.settle(HostPair{address("192.0.2.1"), address("192.0.2.2")});
  REQUIRE_FALSE(settled.has_value());
  CHECK(settled.error().text().find("192.0.2.1") != std::string::npos);
  CHECK_FALSE(CaptureSurvey().settle(std::nullopt).has_value());
}

TEST_CASE("a packet of many segments is split as the wire had them") {
  analysis::PacketInfo packet;
  packet.tcp.sequence = UINT32_MAX - 999;
  packet.tcp.flags = analysis::kFin | analysis::kAck;
  packet.ip_id = UINT16_MAX;
  packet.payload = 2500;
  // A length that no packet has is not split.
  analysis::PacketInfo endless = packet;
  endless.protocol = analysis::kTcp;
  endless.payload = UINT32_MAX - 10;
  CHECK(CaptureSurvey().segment_size(endless) == 0u);
  const auto segments = analysis::split(packet, 1000);
  REQUIRE(segments.size() == 3);
  CHECK(segments[1].sequence == 0);
  CHECK(segments[1].ip_id == 0);
  CHECK(segments[1].flags == analysis::kAck);
  CHECK(segments[2].payload == 500);
  CHECK(segments[2].flags == (analysis::kFin | analysis::kAck));
}
