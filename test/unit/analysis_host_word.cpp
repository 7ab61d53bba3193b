// SPDX-License-Identifier: Apache-2.0
// What a host's own records add to a verdict: that its device never sent what was sent again, and
// whether a timer, acknowledgements or a probe made it do so.
#include <netinet/in.h>

#include <algorithm>

#include <catch2/catch.hpp>

#include "analysis/host_resends.h"
#include "analysis/packet.h"
#include "analysis/retrans.h"
#include "analysis_world.h"

using namespace world;
using analysis::Again;
using analysis::Cause;
using analysis::HostResends;

namespace {

constexpr std::uint32_t kFirst = UINT32_MAX - 1500;  // the sequence numbers wrap soon

magnet_record_ext sent(std::uint32_t at, std::uint32_t payload) {
  magnet_record_ext record{};
  record.head.sockid = 7;
  record.head.event = MAGNET_DEV_SEND;
  record.ext.packet.protocol = IPPROTO_TCP;
  record.ext.packet.local_port = 40000;
  record.ext.packet.peer_port = 5201;
  record.ext.packet.seq = kFirst + at;
  record.ext.packet.payload = payload;
  return record;
}

magnet_record_ext again(std::uint32_t at, std::uint32_t payload, std::uint8_t ca_state = 3) {
  magnet_record_ext record{};
  record.head.sockid = 7;
  record.head.event = MAGNET_TCP_RETRANS;
  record.head.size = static_cast<std::int32_t>(payload);
  record.ext.tcp.local_port = 40000;
  record.ext.tcp.peer_port = 5201;
  record.ext.tcp.seq = kFirst + at;
  record.ext.tcp.ca_state = ca_state;
  return record;
}

analysis::EventHost host_of(const World& net, std::uint8_t ca_state) {
  analysis::EventHost host;
  host.name = "a";
  for (const auto& one : net.dropped.at({0, false})) {
    host.never_left.push_back({40000, 5201, one.sequence, one.payload});
    host.resent.push_back({40000, 5201, one.sequence, one.payload, ca_state});
  }
  return host;
}

}  // namespace

TEST_CASE("what a device skipped and sent when TCP sent it again had not left") {
  HostResends resends;
  resends.see(sent(0, 1000));
  resends.see(sent(4000, 1000));
  resends.see(again(1000, 2000));
  resends.see(sent(1000, 1000));
  resends.see(sent(2000, 1000));
  resends.see(sent(3000, 1000));  // overtaken: TCP did not send it again
  REQUIRE(resends.never_left().size() == 2);
  CHECK(resends.never_left()[0].sequence == kFirst + 1000);
  CHECK(resends.never_left()[1].sequence == kFirst + 2000);
  CHECK(resends.never_left()[1].length == 1000);
  CHECK(resends.resent().size() == 1);
  // It left, and was sent again.
  resends.see(again(4000, 1000));
  resends.see(sent(4000, 1000));
  CHECK(resends.never_left().size() == 2);
}

TEST_CASE("a retransmission may be recorded behind the packet that it is") {
  const std::uint64_t later = GENERATE(20'000u, 5'000'000u);
  HostResends resends;
  resends.see(sent(0, 1000));
  resends.see(sent(2000, 1000));
  resends.see(sent(1000, 1000));
  magnet_record_ext told = again(1000, 1000);
  told.head.timestamp = later;
  resends.see(told);
  CHECK(resends.never_left().size() == (later < 1'000'000 ? 1u : 0u));
}

TEST_CASE("where records of the host were lost nothing is said to have never left") {
  HostResends resends;
  resends.see(sent(0, 1000));
  resends.see(sent(2000, 1000));
  resends.lose();
  resends.see(again(1000, 1000));
  resends.see(sent(1000, 1000));
  CHECK(resends.never_left().empty());
}

TEST_CASE("a hole before the first point is the host's own where its device says so") {
  Config config;
  config.drop = [](std::size_t link, const Wire& wire) {
    return link == 0 && !wire.reverse && !wire.again && wire.number % 41 == 0;
  };
  World net(config);
  net.run_tcp();
  auto path = report_of(net);
  path.events.hosts.push_back(host_of(net, 4));
  const bool whole = GENERATE(true, false);
  if (!whole) path.events.hosts[0].lost["lost"] = 1;
  const auto report = analysis::judge_retransmissions(path);
  REQUIRE(report.verdicts.size() > 5);
  for (const auto& verdict : report.verdicts) {
    CHECK(verdict.cause == (whole ? Cause::never_left : Cause::lost));
    CHECK(verdict.again.how == Again::How::timer);
  }
  const auto document = analysis::to_json(report);
  CHECK(document["totals"]["never_left"] == (whole ? report.verdicts.size() : 0));
  CHECK(document["retransmissions"][0]["how"] == "timer");
  if (whole) CHECK(document["retransmissions"][0]["section"].is_null());
  const bool said =
      analysis::to_table(report, 100).find("never left the host") != std::string::npos;
  CHECK(said == whole);
}

TEST_CASE("a probe for a lost tail is told by the host, and what it does not agree on is not") {
  Config config;
  config.drop = [](std::size_t link, const Wire& wire) {
    return link == 1 && !wire.reverse && !wire.again && wire.number % 41 == 0;
  };
  World net(config);
  net.run_tcp();
  auto path = report_of(net);
  analysis::EventHost host;
  host.name = "a";
  for (const auto& one : net.dropped.at({1, false}))
    host.resent.push_back({40000, 5201, one.sequence - 500, one.payload + 500, 0});
  path.events.hosts.push_back(host);
  for (const auto& verdict : analysis::judge_retransmissions(path).verdicts) {
    CHECK(verdict.again.how == Again::How::probe);
    CHECK(verdict.cause == Cause::lost);
  }
  const auto before = analysis::judge_retransmissions(report_of(net));
  auto& resent = path.events.hosts[0].resent;
  const auto once = resent;
  for (auto one : once) {
    one.ca_state = 3;
    resent.push_back(one);
  }
  const auto after = analysis::judge_retransmissions(path);
  REQUIRE(after.verdicts.size() == before.verdicts.size());
  for (std::size_t i = 0; i < after.verdicts.size(); ++i)
    CHECK(after.verdicts[i].again.how == before.verdicts[i].again.how);
}
