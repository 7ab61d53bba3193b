// SPDX-License-Identifier: Apache-2.0
// Runs that are longer than what is held of them: the same answers, and none that is wrong where a
// sensor's records come too late.
#include <algorithm>

#include <catch2/catch.hpp>

#include "analysis_world.h"

using namespace world;
using analysis::PathReport;

namespace {

// Minutes of a transfer at 2,000 packets a second.
Config lengthy() {
  Config config;
  config.segments = 60'000;
  config.clock_ns = {0, 3000 * static_cast<std::int64_t>(kMs),
                     -40 * static_cast<std::int64_t>(kMs)};
  return config;
}

struct Fed {
  PathReport report;
  std::size_t held = 0;  // at most
};

Fed feed_all(const World& net, const std::vector<Record>& records, analysis::Limits limits = {}) {
  const auto analyzer = analysis::PathAnalyzer::create(limits);
  feed_interfaces(*analyzer, net);
  Fed fed;
  for (const Record& record : records) {
    feed_record(*analyzer, record);
    fed.held = std::max(fed.held, analyzer->held());
  }
  feed_reports(*analyzer, net);
  fed.report = analyzer->report();
  return fed;
}

}  // namespace

TEST_CASE("of a long run only what is under way is held, and each loss is named") {
  const std::size_t link = GENERATE(0u, 1u, 2u, 3u);
  Config config = lengthy();
  config.drop = [link](std::size_t at, const Wire& wire) {
    return at == link && !wire.reverse && !wire.again && wire.number % 997 == 0;
  };
  config.hold = [](std::size_t at, const Wire& wire) {
    return at == 2 && !wire.reverse && wire.number % 500 == 250 ? 3 * kMs : 0;
  };
  World net(config);
  net.run_tcp();
  const Fed fed = feed_all(net, net.records);
  CAPTURE(analysis::to_table(fed.report), net.records.size());
  CHECK(fed.held < net.records.size() / 4);
  CHECK(names(fed.report.forward) == std::vector<std::string>{"s1", "s2", "s3"});
  const auto& sections = fed.report.forward.sections;
  for (std::size_t at = 0; at < sections.size(); ++at) {
    CHECK(sections[at].lost.value_or(0) == (at == link ? net.dropped[{link, false}].size() : 0));
    CHECK(sections[at].appeared == 0);
  }
  CHECK(sections[2].reordered > 50);
  CHECK(sections[1].reordered == 0);
  CHECK(fed.report.complete);
}

TEST_CASE("an archive that gives one sensor after the other is joined all the same") {
  Config config = lengthy();
  config.segments = 20'000;
  config.clock_ns = {0, 0, 0};
  config.drop = [](std::size_t at, const Wire& wire) {
    return at == 2 && !wire.reverse && !wire.again && wire.number % 997 == 0;
  };
  World net(config);
  net.run_tcp();
  std::vector<Record> records = net.records;
  std::stable_sort(records.begin(), records.end(),
                   [](const Record& a, const Record& b) { return a.sensor < b.sensor; });
  const Fed fed = feed_all(net, records);
  CAPTURE(analysis::to_table(fed.report));
  CHECK(lost_digests(fed.report.forward.sections[2]) == digests(net.dropped[{2, false}]));
  CHECK(fed.report.forward.sections[1].lost == 0u);

  // With room for a tenth of it, what comes too late is in doubt, and never a loss.
  const Fed tight = feed_all(net, records, {.held_max = net.records.size() / 10});
  CAPTURE(analysis::to_table(tight.report));
  CHECK(tight.held < net.records.size() / 4);
  const auto dropped = digests(net.dropped[{2, false}]);
  for (const std::size_t at : {1u, 2u}) {
    for (const std::uint64_t lost : lost_digests(tight.report.forward.sections[at]))
      CHECK((at == 2 && std::binary_search(dropped.begin(), dropped.end(), lost)));
    CHECK(tight.report.forward.sections[at].appeared == 0);
  }
  CHECK_FALSE(tight.report.complete);
  CHECK(tight.report.forward.sections[1].undecided + tight.report.forward.sections[2].undecided >
        0);
}

TEST_CASE("a sensor whose stream stands still for a minute loses nothing by it") {
  Config config = lengthy();
  config.clock_ns = {0, 0, 0};
  config.pace_ns = 4 * kMs;
  config.segments = 30'000;
  World net(config);
  net.run_tcp();
  // What s2 saw between 20 s and 80 s comes at 80 s, behind what the others saw until then.
  std::vector<Record> records = net.records;
  const auto comes = [](const Record& record) {
    const std::uint64_t at = record.time - kStart;
    const bool stands = record.sensor == 1 && at > 20'000 * kMs && at < 80'000 * kMs;
    return stands ? kStart + 80'000 * kMs : record.time;
  };
  std::stable_sort(records.begin(), records.end(),
                   [&](const Record& a, const Record& b) { return comes(a) < comes(b); });
  const Fed fed = feed_all(net, records);
  CAPTURE(analysis::to_table(fed.report));
  for (const auto& section : fed.report.forward.sections) {
    CHECK(section.lost.value_or(0) == 0);
    CHECK(section.appeared == 0);
  }
}
