// SPDX-License-Identifier: Apache-2.0
// What a host's own records add to a verdict: that its device never sent what was sent again, and
// whether a timer, acknowledgements or a probe made it do so.
#include <netinet/in.h>

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

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
    host.never_left.push_back({40000, 5201, one.sequence, one.payload, UINT64_MAX});
    host.resent.push_back({40000, 5201, one.sequence, one.payload, ca_state});
  }
  return host;
}

// The first two sendings of every 41st segment are dropped on a link.
Config dropping_twice(std::size_t link) {
  Config config;
  auto times = std::make_shared<std::map<std::uint32_t, int>>();
  config.drop = [=](std::size_t at, const Wire& wire) {
    return at == link && !wire.reverse && wire.payload > 0 && wire.sequence / 1000 % 41 == 7 &&
           ++(*times)[wire.sequence] <= 2;
  };
  return config;
}

// Of such sendings the queue has the first, which is by the host's clock what s1 sees, and the wire
// the second.
std::map<std::uint32_t, std::uint64_t> second_sendings(const World& net) {
  std::map<std::uint32_t, std::vector<std::uint64_t>> times;
  for (const Record& record : net.records) {
    if (record.sensor == 0 && !record.reverse)
      times[net.sendings.count(record.sent) ? net.sendings.at(record.sent).sequence : 0].push_back(
          record.time);
  }
  std::map<std::uint32_t, std::uint64_t> second;
  for (const auto& one : net.dropped.begin()->second) {
    if (times.at(one.sequence).size() > 1) second[one.sequence] = times[one.sequence][1];
  }
  return second;
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

TEST_CASE("when data that had not left did leave is told, and how often since") {
  HostResends resends;
  resends.see(sent(0, 1000));
  resends.see(sent(4000, 1000));
  resends.see(again(1000, 3000));
  magnet_record_ext first = sent(1000, 3000);
  first.head.timestamp = 77;
  resends.see(first);
  REQUIRE(resends.never_left().size() == 1);
  CHECK(resends.never_left()[0].left_ns == 77);
  CHECK(resends.never_left()[0].left_again == 0);
  resends.see(sent(4000, 1000));
  CHECK(resends.never_left()[0].left_again == 0);
  resends.see(again(2000, 1000));
  resends.see(sent(2000, 1000));
  resends.see(sent(0, 5000));
  CHECK(resends.never_left()[0].left_again == 2);
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

TEST_CASE("what came too late to be put in order may have left") {
  constexpr std::uint64_t kSecond = 1'000'000'000;
  const bool late = GENERATE(false, true);
  analysis::Senders senders(kSecond);
  const auto take = [&](magnet_record_ext record, std::uint64_t time) {
    record.head.timestamp = time * kSecond;
    senders.take(run_id(), record);
  };
  take(sent(0, 1000), 100);
  take(sent(2000, 1000), 101);
  take(sent(3000, 1000), 104);  // what is older than 102 s has been seen
  if (late) take(sent(1000, 1000), 100);
  take(again(1000, 1000), 105);
  take(sent(1000, 1000), 106);
  const auto events = senders.finish();
  REQUIRE(events.hosts.size() == 1);
  CHECK(events.hosts[0].late == (late ? 1u : 0u));
  CHECK(events.hosts[0].never_left.size() == (late ? 0u : 1u));
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
  const std::string missing = GENERATE("", "lost", "late");
  if (missing == "lost") path.events.hosts[0].lost["lost"] = 1;
  if (missing == "late") path.events.hosts[0].late = 1;
  const bool whole = missing.empty();
  const auto report = analysis::judge_retransmissions(path);
  REQUIRE(report.verdicts.size() > 5);
  for (const auto& verdict : report.verdicts) {
    CHECK(verdict.cause == (whole ? Cause::never_left : Cause::lost));
    CHECK(verdict.again.how == (whole ? Again::How::timer : Again::How::unknown));
  }
  const auto document = analysis::to_json(report);
  CHECK(document["totals"]["never_left"] == (whole ? report.verdicts.size() : 0));
  if (whole) CHECK(document["retransmissions"][0]["how"] == "timer");
  if (whole) CHECK(document["retransmissions"][0]["section"].is_null());
  const bool said =
      analysis::to_table(report, 100).find("never left the host") != std::string::npos;
  CHECK(said == whole);
}

TEST_CASE("what the queue dropped first and the wire then is lost on the wire the second time") {
  World net(dropping_twice(1));
  net.run_tcp();
  auto path = report_of(net);
  path.forward.points[0].interface = "eth0 out";
  analysis::EventHost host;
  host.name = path.forward.points[0].sensor;
  const auto second = second_sendings(net);
  REQUIRE(second.size() > 5);
  for (const auto& [sequence, time] : second)
    host.never_left.push_back({40000, 5201, sequence, 1000, time + 5000, 1});
  path.events.hosts.push_back(host);
  std::map<std::uint32_t, std::vector<Cause>> told;
  for (const auto& verdict : analysis::judge_retransmissions(path).verdicts)
    told[verdict.again.packet.sequence].push_back(verdict.cause);
  for (const auto& [sequence, time] : second)
    CHECK(told[sequence] == std::vector{Cause::never_left, Cause::lost});
}

TEST_CASE("a hole is the host's own where the first point saw all that its device sent since") {
  World net(dropping_twice(0));
  net.run_tcp();
  auto path = report_of(net);
  const std::uint32_t left_again = GENERATE(0u, 1u);
  const bool seen = GENERATE(true, false);
  analysis::EventHost host;
  host.name = "a";
  std::vector<Again> others;
  for (const auto& hole : path.forward.sections[0].lost_packets) {
    host.never_left.push_back({40000, 5201, hole.sequence, hole.payload, 1, left_again});
    Again other;
    other.packet = hole;
    other.acknowledged = true;
    others.push_back(other);
  }
  REQUIRE(others.size() > 5);
  if (seen) path.forward.again = others;
  path.events.hosts.push_back(host);
  std::size_t holes = 0;
  for (const auto& verdict : analysis::judge_retransmissions(path).verdicts) {
    if (!verdict.unseen_before) continue;
    ++holes;
    CHECK(verdict.cause == (left_again == 0 || seen ? Cause::never_left : Cause::lost));
  }
  CHECK(holes > 5);
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
