// SPDX-License-Identifier: Apache-2.0
// How busy a port was with others: what it carried less what of it was the run's.
#include <catch2/catch.hpp>

#include "analysis/port_loads.h"
#include "analysis_world.h"
#include "proto/frame.h"

using namespace world;
using analysis::Load;
using analysis::PathReport;
using analysis::PortLoad;

namespace {

constexpr std::uint64_t kPeriod = 10 * kMs;

bool near(double value, double wanted, double part = 1e-9) {
  return std::abs(value - wanted) <= wanted * part;
}

// 100 periods from `begin` on with `bytes` in each, as a sensor would send them.
Bytes frame_of(const std::string& session, std::uint64_t begin, std::uint64_t bytes) {
  TotalsWriter writer(RunId::parse(session).value(), {0, 1});
  for (std::uint64_t i = 0; i < 100; ++i)
    writer.add({begin + i * kPeriod, kPeriod},
               std::vector<PortTotal>{{bytes / 100, bytes}, {0, 0}});
  const ByteView body = writer.end();
  return {body.begin(), body.end()};
}

pcapng::Report report_of(const Bytes& body, std::uint64_t sequence) {
  return {FL_FRAME_PORT_TOTALS, FL_ENCODING_BINARY, sequence, {}, body};
}

// Of a second and more of traffic in which sensor s2's forward port carried `bytes` each 10 ms.
struct Scene {
  World net;
  std::uint64_t begin = 0;
  Bytes body;

  explicit Scene(std::uint64_t bytes) : net(config()) {
    net.run_tcp();
    begin = kStart;
    body = frame_of(session_of("s2"), begin, bytes);
  }
  static Config config() {
    Config config;
    config.segments = 600;
    return config;
  }
  PathReport report(const std::vector<pcapng::Report>& totals) const {
    const auto analyzer = analysis::PathAnalyzer::create();
    feed_interfaces(*analyzer, net);
    for (const Record& record : net.records) feed_record(*analyzer, record);
    for (const pcapng::Report& one : totals) (void)analyzer->feed(one);
    feed_reports(*analyzer, net);
    return analyzer->report();
  }
};

}  // namespace

TEST_CASE("a port's load is others' and one's own, and both are the port's") {
  PortLoad port;
  std::uint64_t own = 0;
  for (std::uint64_t ms = 0; ms < 3000; ms += 5) {
    port.record(kStart + ms * kMs + 300'000, 1000);
    own += 1000;
  }
  for (std::uint64_t i = 0; i < 300; ++i) {
    const std::uint64_t others = i == 150 ? 125'000 : 12'500;
    port.period({kStart + i * kPeriod, kPeriod}, {10, 2000 + others});
  }
  const auto load = port.load();
  REQUIRE(load);
  CHECK(load->covered_ns == 3000 * kMs);
  CHECK(load->periods == 300);
  CHECK(load->own.bytes == own);
  CHECK(load->own.packets == 600);
  CHECK(load->port.bytes == own + 299 * 12'500 + 125'000);
  CHECK(near(load->own_bps(), 1.6e6));
  CHECK(near(load->others_bps(), (299 * 12'500 + 125'000) * 8 / 3.0));
  CHECK(near(load->peak_bps, 1e8));
  CHECK(near(load->p99_bps, 1e7, 1.0 / 64));
}

TEST_CASE("a peak of more than one time in a hundred is in the percentile") {
  PortLoad port;
  port.record(kStart, 100);
  port.record(kStart + 1000 * kMs, 100);
  for (std::uint64_t i = 0; i < 100; ++i)
    port.period({kStart + i * kPeriod, kPeriod}, {1, i % 25 == 0 ? 1'250'000u : 1250u});
  CHECK(near(port.load()->p99_bps, 1e9, 1.0 / 64));
}

TEST_CASE("a longer period counts for as much as it lasts") {
  PortLoad port;
  port.record(kStart, 0);
  port.record(kStart + 1000 * kMs, 0);
  port.period({kStart, 900 * kMs}, {1, 9000});
  port.period({kStart + 900 * kMs, 100 * kMs}, {1, 101'000});
  const auto load = port.load();
  CHECK(near(load->others_bps(), 110'000 * 8));
  CHECK(near(load->peak_bps, 101'000 * 80));
  CHECK(load->periods == 2);
}

TEST_CASE("totals before a run's first packet and behind its last say nothing of it") {
  PortLoad port;
  const auto period = [&](std::uint64_t i) {
    port.period({kStart + i * kPeriod, kPeriod}, {1, i * 1000});
  };
  period(0);
  CHECK_FALSE(port.load());
  port.record(kStart + 2 * kPeriod + 1, 10);
  for (const std::uint64_t i : {1, 2, 3, 4}) period(i);
  CHECK(port.load()->port.bytes == 2000);
  // It was only silent: the time between counts.
  port.record(kStart + 5 * kPeriod + 1, 10);
  period(5);
  CHECK(port.load()->port.bytes == 2000 + 3000 + 4000 + 5000);
  CHECK(port.load()->own.bytes == 20);
}

TEST_CASE("own bytes beyond what a port says it carried make no negative load") {
  PortLoad port;
  for (std::uint64_t ms = 0; ms < 100; ++ms) port.record(kStart + ms * kMs, 1500);
  for (std::uint64_t i = 0; i < 10; ++i) port.period({kStart + i * kPeriod, kPeriod}, {1, 100});
  CHECK(port.load()->others_bps() == 0);
  CHECK(port.load()->peak_bps == 0);
}

TEST_CASE("periods that no clock could have made are left out") {
  PortLoad port;
  port.record(kStart, 100);
  port.period({0, UINT64_MAX}, {1, UINT64_MAX});
  port.period({kStart, 4000 * kMs}, {1, 1000});
  CHECK_FALSE(port.load());
}

TEST_CASE("path tells each point's load where its sensor gave totals") {
  Scene scene(1'250'000);
  const PathReport report = scene.report({report_of(scene.body, 1'000'001)});
  REQUIRE(report.forward.points.size() == 3);
  CHECK_FALSE(report.forward.points[0].load);
  CHECK_FALSE(report.forward.points[2].load);
  CHECK(report.ignored.empty());
  const auto& load = report.forward.points[1].load;
  REQUIRE(load);
  std::uint64_t own = 0, last = 0;
  for (const Record& record : scene.net.records) {
    if (record.sensor != 1 || record.reverse) continue;
    last = std::max(last, record.time);
    if (record.time < scene.begin + 1000 * kMs) own += record.wire_len;
  }
  CHECK(last > scene.begin + 200 * kMs);
  CHECK(load->own.bytes <= own);
  CHECK(load->own.bytes > own * 9 / 10);
  CHECK(load->port.bytes == load->periods * 1'250'000);
  CHECK(near(load->own_bps() + load->others_bps(), 1e9));
  const auto json = to_json(report);
  CHECK(json["forward"]["points"][0]["load"].is_null());
  CHECK(json["forward"]["points"][1]["load"]["others_bps"] == load->others_bps());
  CHECK(to_table(report).find("-> BUSY Mb/s") != std::string::npos);
  CHECK(to_table(report).find("<- BUSY Mb/s") != std::string::npos);
  CHECK(to_table(scene.report({})).find("BUSY") == std::string::npos);
}

TEST_CASE("totals that several archives have count once") {
  Scene scene(1'250'000);
  const auto once = scene.report({report_of(scene.body, 77)});
  const auto twice = scene.report({report_of(scene.body, 77), report_of(scene.body, 77)});
  CHECK(to_json(twice) == to_json(once));
}

TEST_CASE("totals that cannot be read are counted, and those of a strange session are nobody's") {
  Scene scene(1'250'000);
  Bytes cut = scene.body;
  cut.pop_back();
  const Bytes strange = frame_of("77777777777777777777777777777777", scene.begin, 1);
  const PathReport report = scene.report({report_of(cut, 8), report_of(strange, 9)});
  CHECK(report.ignored == std::map<std::string, std::uint64_t>{{"totals_unreadable", 1}});
  CHECK_FALSE(report.forward.points[1].load);
}
