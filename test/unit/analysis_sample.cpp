// SPDX-License-Identifier: Apache-2.0
// What is told of a path whose sensors record a sample, or count alone: exact where it can be, and
// silent where it cannot.
#include <algorithm>

#include <catch2/catch.hpp>

#include "analysis_world.h"
#include "proto/digest.h"

using namespace world;
using analysis::PathReport;
using analysis::Section;

namespace {

constexpr std::size_t kLossy = 1;  // the link between s1 and s2

World lossy_net(std::uint32_t datagrams = 4000) {
  Config config;
  config.drop = [](std::size_t link, const Wire& wire) {
    return link == kLossy && wire.number % 7 == 3;
  };
  World net(config);
  net.run_udp(datagrams);
  return net;
}

std::vector<std::uint64_t> sampled(const std::vector<World::Dropped>& dropped, unsigned bits) {
  std::vector<std::uint64_t> kept = digests(dropped);
  std::erase_if(kept, [&](std::uint64_t digest) { return !fl_sample_keeps(digest, bits); });
  return kept;
}

bool says(const PathReport& report, const std::string& what) {
  return std::any_of(report.incomplete.begin(), report.incomplete.end(),
                     [&](const std::string& line) { return line.find(what) != std::string::npos; });
}

}  // namespace

TEST_CASE("losses of a sample are those of its packets, and the counts still balance") {
  World net = lossy_net();
  const PathReport report = report_of(net, {.sample_bits = {{"s1", 3}, {"s2", 3}, {"s3", 3}}});
  REQUIRE(names(report.forward) == std::vector<std::string>{"s1", "s2", "s3"});
  const Section& section = report.forward.sections[1];
  const auto lost = sampled(net.dropped[{kLossy, false}], 3);
  REQUIRE(lost.size() > 40);
  CHECK(section.lost == lost.size());
  CHECK(lost_digests(section) == lost);
  CHECK(section.undecided == 0);
  CHECK(section.unsampled == 0);
  CHECK(section.note.find("of 1 in 8 packets") != std::string::npos);
  CHECK(report.forward.sections[2].lost == 0u);
  for (const auto& point : report.forward.points) {
    CHECK(point.sample_n == 8);
    CHECK(point.seen == point.recorded + point.sampled_out);
    CHECK(point.sampled_out > point.recorded);
  }
  REQUIRE(report.incomplete.size() == 3);
  CHECK(says(report, "s1 records 1 of 8 packets"));
}

TEST_CASE("SampledOutIsNotLost: sensors that sample differently are compared on what both keep") {
  World net = lossy_net();
  const PathReport report = report_of(net, {.sample_bits = {{"s2", 4}, {"s3", 1}}});
  REQUIRE(names(report.forward) == std::vector<std::string>{"s1", "s2", "s3"});
  const Section& first = report.forward.sections[1];
  CHECK(lost_digests(first) == sampled(net.dropped[{kLossy, false}], 4));
  CHECK(first.undecided == 0);
  CHECK(first.appeared == 0);
  std::uint64_t aside = 0;
  for (const Record& record : net.records)
    aside += record.sensor == 0 && !fl_sample_keeps(record.digest, 4);
  // s3 has half of them: what it saw was not lost on the way to s2, and s2 did not look for it.
  CHECK(first.unsampled == aside);
  const Section& second = report.forward.sections[2];
  CHECK(second.lost == 0u);
  CHECK(second.appeared == 0);  // s3 keeps more than s2
  CHECK(second.unsampled == 0);
}

TEST_CASE("from a sample nothing is told of what TCP sent again, nor of the ends") {
  Config config;
  config.segments = 600;
  config.drop = [](std::size_t link, const Wire& wire) {
    return link == kLossy && !wire.reverse && wire.number % 50 == 20;
  };
  World net(config);
  net.run_tcp();
  REQUIRE_FALSE(report_of(net).forward.again.empty());
  const PathReport report = report_of(net, {.sample_bits = {{"s1", 2}, {"s2", 2}, {"s3", 2}}});
  CHECK(report.forward.again.empty());
  CHECK_FALSE(report.forward.sections.front().lost.has_value());
  CHECK_FALSE(report.forward.sections.back().lost.has_value());
  CHECK(lost_digests(report.forward.sections[1]) == sampled(net.dropped[{kLossy, false}], 2));
  CHECK(says(report, "what was sent again is not told"));
}

TEST_CASE("a chunk of before sampling has no ranks, and its packets are judged as ever") {
  World net = lossy_net(400);
  const auto analyzer = analysis::PathAnalyzer::create();
  feed_interfaces(*analyzer, net);
  for (const Record& record : net.records) feed_record(*analyzer, record, false);
  feed_reports(*analyzer, net);
  const PathReport report = analyzer->report();
  CHECK(report.complete);
  CHECK(lost_digests(report.forward.sections[1]) == digests(net.dropped[{kLossy, false}]));
}

TEST_CASE("counters alone tell packets and losses of each section, and say what they cannot") {
  World net = lossy_net();
  const PathReport report = report_of(net, {.counted = true});
  REQUIRE(names(report.forward) == std::vector<std::string>{"s1", "s2", "s3"});
  REQUIRE(report.forward.sections.size() == 4);
  const Section& section = report.forward.sections[1];
  CHECK(section.packets == 4000);
  CHECK(section.lost == net.dropped[{kLossy, false}].size());
  CHECK(section.lost_packets.empty());
  CHECK(section.by_counters);
  CHECK(report.forward.sections[2].lost == 0u);
  CHECK_FALSE(report.forward.sections.front().lost.has_value());
  CHECK_FALSE(report.forward.sections.back().lost.has_value());
  CHECK(report.reverse.points.empty());
  for (const auto& point : report.forward.points) {
    CHECK(point.recorded == 0);
    CHECK(point.seen == point.sampled_out);
    CHECK(point.sample_n == 0);
    CHECK(point.final_counts);
  }
  CHECK(says(report, "counters alone"));
  CHECK_FALSE(says(report, "no header records"));
  CHECK(report.last_ns > report.first_ns);

  // Of a run that is not over nothing is concluded. Who saw most stands first.
  const PathReport early = report_of(net, {.finals = false, .counted = true});
  CHECK(early.forward.points.empty());
  const PathReport odd = report_of(net, {.lie = {{"s2", 5000}}, .counted = true});
  CHECK(names(odd.forward) == std::vector<std::string>{"s2", "s1", "s3"});
}
