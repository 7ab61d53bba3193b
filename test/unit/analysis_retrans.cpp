// SPDX-License-Identifier: Apache-2.0
// Each retransmission has the cause that the simulated network knows of.
#include <algorithm>
#include <map>
#include <memory>
#include <random>

#include <catch2/catch.hpp>

#include "analysis/packet.h"
#include "analysis/receiver_evidence.h"
#include "analysis/retrans.h"
#include "analysis_world.h"

using namespace world;
using analysis::Cause;
using analysis::RetransReport;
using analysis::Verdict;

namespace {

RetransReport verdicts_of(const World& net, const Feed& feed = {}) {
  return analysis::judge_retransmissions(report_of(net, feed));
}

std::uint64_t count(const RetransReport& report, Cause cause) {
  return static_cast<std::uint64_t>(
      std::count_if(report.verdicts.begin(), report.verdicts.end(),
                    [&](const Verdict& verdict) { return verdict.cause == cause; }));
}

// The network's log, by sequence: the numbers of all sendings of a segment, in order.
std::map<std::uint32_t, std::vector<std::uint64_t>> by_sequence(const World& net) {
  std::map<std::uint32_t, std::vector<std::uint64_t>> all;
  for (const auto& [number, sending] : net.sendings) all[sending.sequence].push_back(number);
  return all;
}

// Sendings that repeat data and came to s1.
std::uint64_t repeated(const World& net) {
  std::uint64_t sum = 0;
  for (const auto& [sequence, numbers] : by_sequence(net)) {
    for (std::size_t i = 1; i < numbers.size(); ++i)
      sum += net.sendings.at(numbers[i]).dropped_on != 0;
  }
  return sum;
}

// When s1 saw each sending.
std::map<std::uint64_t, std::uint64_t> times_at_first(const World& net) {
  std::map<std::uint64_t, std::uint64_t> times;
  for (const Record& record : net.records) {
    if (record.sensor == 0 && !record.reverse) times.try_emplace(record.sent, record.time);
  }
  return times;
}

// The sendings of a verdict's segment from the one before it that s1 saw (or the first) up to it,
// itself left out.
std::vector<World::Sending> before(const World& net, const Verdict& verdict) {
  const auto times = times_at_first(net);
  std::vector<World::Sending> all;
  const auto numbers = by_sequence(net);
  for (const std::uint64_t number : numbers.at(verdict.again.packet.sequence)) {
    const auto seen = times.find(number);
    if (seen != times.end() && seen->second == verdict.again.packet.timestamp_ns) break;
    if (seen != times.end()) all.clear();
    all.push_back(net.sendings.at(number));
  }
  return all;
}

bool is_true(const World& net, const Verdict& verdict) {
  const auto sendings = before(net, verdict);
  const auto dropped_on = [&](std::size_t link) {
    return std::any_of(sendings.begin(), sendings.end(),
                       [&](const World::Sending& sending) { return sending.dropped_on == link; });
  };
  switch (verdict.cause) {
    case Cause::lost:
      // Sections are the links, in order.
      return dropped_on(verdict.section) ||
             (!verdict.why.empty() && net.dropped.count({verdict.section, true}) == 1);
    case Cause::ack_lost:
      return dropped_on(World::kArrived) &&
             net.dropped.count({net.config().sensors - verdict.section, true}) == 1;
    case Cause::spurious:
      return dropped_on(World::kArrived);
    case Cause::never_left:
      return false;  // no host says so here
    case Cause::undecided:
      return true;  // never a false verdict; how often is tested apart
  }
  return false;
}

Config random_network(std::uint32_t seed) {
  auto random = std::make_shared<std::mt19937>(seed);
  const auto chance = [random](unsigned in) { return (*random)() % in == 0; };
  Config config;
  config.segments = 300;
  config.ipv6 = seed % 3 == 1;
  config.timestamps = seed % 5 != 2;
  config.isn = seed % 4 ? 1000 : UINT32_MAX - 90'000;
  const unsigned forward = 30 + seed % 7 * 40, backward = 20 + seed % 5 * 60;
  const bool acks = seed % 2, late = seed % 3 == 0, copies = seed % 7 == 3;
  config.drop = [=](std::size_t, const Wire& wire) {
    if (wire.flags & analysis::kSyn) return false;
    return wire.reverse ? acks && chance(backward) : chance(forward);
  };
  config.hold = [=](std::size_t link, const Wire& wire) {
    return late && link == seed % 4 && !wire.reverse && chance(60) ? 4 * kMs : 0;
  };
  config.copy = [=](std::size_t link, const Wire&) { return copies && link == 2 && chance(100); };
  return config;
}

}  // namespace

TEST_CASE("a retransmission is told the link that lost the sending before it") {
  const std::size_t link = GENERATE(0u, 1u, 2u, 3u);
  Config config;
  config.drop = [link](std::size_t at, const Wire& wire) {
    return at == link && !wire.reverse && !wire.again && wire.number % 41 == 0;
  };
  World net(config);
  net.run_tcp();
  const RetransReport report = verdicts_of(net);
  CAPTURE(analysis::to_table(report, 100));
  // The last one is the flow's last: nothing behind it shows the hole in front of s1.
  CHECK(report.verdicts.size() == net.dropped[{link, false}].size() - (link == 0));
  CHECK(count(report, Cause::lost) == report.verdicts.size());
  for (const Verdict& verdict : report.verdicts) {
    CHECK(verdict.section == link);
    CHECK(verdict.unseen_before == (link == 0));
    const bool tail = verdict.again.packet.sequence == 1000 + 1 + 399 * 1000;
    if (link != 0) CHECK((verdict.again.how == analysis::Again::How::timer) == tail);
  }
}

TEST_CASE("a retransmission for a lost acknowledgement is told the link that lost that") {
  // The last acknowledgements of all: nothing later covers them.
  const std::size_t link = GENERATE(1u, 2u);
  Config config;
  config.segments = 60;
  std::uint32_t lost = 0;
  config.drop = [&](std::size_t at, const Wire& wire) {
    return at == link && wire.reverse && wire.ack == 1000 + 1 + 60 * 1000 && lost++ == 0;
  };
  World net(config);
  net.run_tcp();
  REQUIRE(net.spurious == 1);
  const RetransReport report = verdicts_of(net);
  CAPTURE(analysis::to_table(report, 100));
  REQUIRE(report.verdicts.size() == 1);
  CHECK(report.verdicts[0].cause == Cause::ack_lost);
  CHECK(report.verdicts[0].section == 3 - link);
  CHECK(report.verdicts[0].again.how == analysis::Again::How::timer);
}

TEST_CASE("AnUnseenAckMakesItSpurious: a point of its way was off when it may have passed") {
  Config config;
  config.segments = 60;
  std::uint32_t lost = 0;
  config.drop = [&](std::size_t at, const Wire& wire) {
    return at == 1 && wire.reverse && wire.ack == 1000 + 1 + 60 * 1000 && lost++ == 0;
  };
  World net(config);
  net.run_tcp();
  analysis::PathReport path = report_of(net, {});
  for (analysis::Section& section : path.reverse.sections) section.lost_packets.clear();
  analysis::Gap off;
  off.sensor = "s2";
  off.what = analysis::Gap::What::blind;
  off.until_ns = UINT64_MAX;
  path.gaps = {off};
  const RetransReport report = analysis::judge_retransmissions(std::move(path));
  REQUIRE(report.verdicts.size() == 1);
  CHECK(report.verdicts[0].cause == Cause::undecided);
  CHECK(report.verdicts[0].why == "s2 was off when the acknowledgement may have passed");
}

TEST_CASE("a retransmission of what was merely overtaken is spurious") {
  Config config;
  config.hold = [](std::size_t at, const Wire& wire) {
    return at == 2 && !wire.reverse && !wire.again && wire.number % 97 == 0 ? 6 * kMs : 0;
  };
  World net(config);
  net.run_tcp();
  REQUIRE(net.spurious > 0);
  const RetransReport report = verdicts_of(net);
  CAPTURE(analysis::to_table(report, 100));
  CHECK(report.verdicts.size() == net.spurious);
  CHECK(count(report, Cause::spurious) == net.spurious);
}

TEST_CASE("beside a sensor that dropped records itself a loss is undecided, and it is named") {
  Config config;
  config.drop = [](std::size_t at, const Wire& wire) {
    return at == 2 && !wire.reverse && !wire.again && wire.number % 41 == 0;
  };
  World net(config);
  net.run_tcp();
  const RetransReport report = verdicts_of(net, {.ring_drops = {{"s3", 2}}});
  REQUIRE(!report.verdicts.empty());
  for (const Verdict& verdict : report.verdicts) {
    CHECK(verdict.cause == Cause::undecided);
    CHECK(verdict.why == "s3 dropped 2 packets itself");
  }
}

TEST_CASE("the first point's own drops are no losses before it") {
  Config config;
  config.drop = [](std::size_t at, const Wire& wire) {
    return at == 0 && !wire.reverse && !wire.again && wire.number % 41 == 0;
  };
  World net(config);
  net.run_tcp();
  const RetransReport report = verdicts_of(net, {.ring_drops = {{"s1", 20}}});
  REQUIRE(!report.verdicts.empty());
  for (const Verdict& verdict : report.verdicts) CHECK(verdict.cause == Cause::undecided);
}

TEST_CASE("two packets of one content are the network's copy only with one IP id") {
  analysis::Observation first, second;
  first.digest = second.digest = 7;
  first.ip_id = second.ip_id = 3;
  CHECK(analysis::is_network_copy(first, second));
  second.ip_id = 4;
  CHECK_FALSE(analysis::is_network_copy(first, second));
}

TEST_CASE("a SYN on ports in use opens a connection, also where the first SYN was not seen") {
  analysis::Observation syn;
  syn.flags = analysis::kSyn;
  syn.sequence = 9;
  CHECK(analysis::begins_anew(syn, true, false, 0));
  CHECK(analysis::begins_anew(syn, true, true, 8));
  CHECK_FALSE(analysis::begins_anew(syn, true, true, 9));  // sent again
  CHECK_FALSE(analysis::begins_anew(syn, false, false, 0));
}

TEST_CASE("what is not known to have arrived is never called spurious") {
  Config config;
  config.segments = 60;
  std::uint32_t times = 0;
  config.drop = [&](std::size_t at, const Wire& wire) {  // the tail, again and again
    return at == 3 && !wire.reverse && wire.sequence == 1001 + 59 * 1000 && ++times < 4;
  };
  World net(config);
  net.run_tcp();
  const RetransReport report = verdicts_of(net);
  CHECK(count(report, Cause::spurious) == 0);
}

TEST_CASE("UDP has no retransmissions that can be seen, and that is said") {
  World net(Config{});
  net.run_udp(100);
  const RetransReport report = verdicts_of(net);
  CHECK_FALSE(report.tcp);
  CHECK(analysis::to_table(report, 10).find("cannot be told") != std::string::npos);
}

TEST_CASE("in 200 seeded networks no verdict is false, and few are undecided") {
  std::uint64_t judged = 0, undecided = 0, missed = 0, all = 0;
  for (std::uint32_t seed = 1; seed <= 200; ++seed) {
    World net(random_network(seed));
    net.run_tcp();
    const RetransReport report = verdicts_of(net);
    CAPTURE(seed, analysis::to_table(report, 200));
    for (const Verdict& verdict : report.verdicts) {
      if (verdict.reverse) continue;
      CAPTURE(verdict.again.packet.sequence, verdict.again.packet.timestamp_ns);
      CHECK(is_true(net, verdict));
      ++judged;
      undecided += verdict.cause == Cause::undecided;
    }
    const std::uint64_t sent_again = repeated(net);
    all += sent_again;
    missed += sent_again > report.verdicts.size() ? sent_again - report.verdicts.size() : 0;
  }
  CAPTURE(judged, undecided, all, missed);
  CHECK(judged > 2000);
  CHECK(undecided * 100 < judged);
  CHECK(missed * 100 < all);
}
