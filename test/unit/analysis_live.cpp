// SPDX-License-Identifier: Apache-2.0
// Reports while the run goes on: what is in flight is not lost, and what is lost is said in time.
#include <algorithm>

#include <catch2/catch.hpp>

#include "analysis_world.h"
#include "proto/frame.h"

using namespace world;
using analysis::PathReport;

namespace {

Config slow() {
  Config config;
  config.segments = 600;
  config.pace_ns = 10 * kMs;
  config.timestamps = true;
  return config;
}

// Each sensor's stream is behind by its own time: its records are fed that much later.
std::vector<Record> delayed(const World& net, const std::vector<std::uint64_t>& lag) {
  std::vector<Record> records = net.records;
  std::stable_sort(records.begin(), records.end(), [&](const Record& a, const Record& b) {
    return a.time + lag[a.sensor] < b.time + lag[b.sensor];
  });
  return records;
}

}  // namespace

TEST_CASE("a live report calls nothing lost that is merely in flight") {
  World net(slow());
  net.run_tcp();
  const auto analyzer = analysis::PathAnalyzer::create();
  feed_interfaces(*analyzer, net);
  std::size_t fed = 0;
  // The middle sensor's stream is 300 ms behind, then the first.
  const auto lag = GENERATE(std::vector<std::uint64_t>{0, 300 * kMs, 50 * kMs},
                            std::vector<std::uint64_t>{500 * kMs, 0, 0});
  for (const Record& record : delayed(net, lag)) {
    feed_record(*analyzer, record);
    if (++fed % 97 != 0) continue;
    const PathReport report = analyzer->report();
    for (const auto* direction : {&report.forward, &report.reverse}) {
      for (const auto& section : direction->sections) {
        REQUIRE(section.lost.value_or(0) == 0);
        REQUIRE(section.appeared == 0);
        REQUIRE(section.duplicated == 0);
      }
    }
  }
  feed_reports(*analyzer, net);
  CHECK(analyzer->report().complete);
}

TEST_CASE("a live report names a loss once later packets have passed, and then keeps it") {
  const std::size_t link = GENERATE(0u, 1u, 2u, 3u);
  Config config = slow();
  config.drop = [link](std::size_t at, const Wire& wire) {
    return at == link && !wire.reverse && !wire.again && wire.number == 200;
  };
  World net(config);
  net.run_tcp();
  const std::uint64_t lost_at = kStart + 198 * config.pace_ns;
  const auto analyzer = analysis::PathAnalyzer::create();
  feed_interfaces(*analyzer, net);
  std::size_t fed = 0;
  for (const Record& record : net.records) {
    feed_record(*analyzer, record);
    if (++fed % 101 != 0) continue;
    const PathReport report = analyzer->report();
    if (report.forward.points.size() < 3) continue;
    for (std::size_t at = 0; at < 4; ++at) {
      const std::uint64_t lost = report.forward.sections[at].lost.value_or(0);
      if (at != link || record.time < lost_at) REQUIRE(lost == 0);
      if (at == link && record.time > lost_at + 1800 * kMs) REQUIRE(lost == 1);
    }
  }
}

TEST_CASE("packets before the second sensor was switched on, and after it ended, are undecided") {
  Config config = slow();
  World net(config);
  net.run_tcp();
  const std::uint64_t from = kStart + 2000 * kMs, to = kStart + 4000 * kMs;
  const auto analyzer = analysis::PathAnalyzer::create();
  feed_interfaces(*analyzer, net);
  std::uint64_t before = 0, behind = 0;
  for (const Record& record : net.records) {
    const bool blind = record.sensor == 1 && (record.time < from || record.time > to);
    if (!blind) feed_record(*analyzer, record);
    if (blind && !record.reverse) ++(record.time < from ? before : behind);
  }
  feed_reports(*analyzer, net, {.started = false});
  // By the reports s2 looked from `from` to `to`, the others always.
  for (const auto& [sensor, start, end] : {std::tuple{"s1", kStart - kMs, net.now() + 5000 * kMs},
                                           {"s2", from, to},
                                           {"s3", kStart - kMs, net.now() + 5000 * kMs}}) {
    feed_report(*analyzer, FL_FRAME_ACTIVATION,
                {{"event", "started"}, {"sensor", sensor}, {"at_ns", start}});
    feed_report(*analyzer, FL_FRAME_ACTIVATION,
                {{"event", "ended"}, {"sensor", sensor}, {"at_ns", end}});
  }
  const PathReport report = analyzer->report();
  CAPTURE(analysis::to_table(report));
  CHECK(report.forward.sections[1].lost == 0u);
  CHECK(report.forward.sections[1].undecided + report.forward.sections[1].unseen ==
        before + behind);
}
