// SPDX-License-Identifier: Apache-2.0
// Points in the path of hosts show super-packets, taps show what is on the wire: they join as the
// segments that they are, and nothing is said of them that is not so.
#include <algorithm>
#include <map>
#include <random>

#include <catch2/catch.hpp>

#include "analysis/packet.h"
#include "analysis/retrans.h"
#include "analysis_world.h"

using namespace world;
using analysis::Cause;
using analysis::PathReport;

namespace {

// What GSO or GRO at a sensor would have made of its records: together goes what follows in
// sequence within a millisecond, with acknowledgement and options alike.
class Merger {
 public:
  Merger(World& net, std::uint32_t seed) : net_(&net), random_(seed) {}

  // Of the records from that one on; `last`: the time is that of the last of them (GRO).
  std::size_t merge(std::size_t sensor, std::size_t from, bool last) {
    std::vector<Record> kept;
    std::size_t open = SIZE_MAX, merged = 0, most = 0;
    for (std::size_t at = 0; at < net_->records.size(); ++at) {
      Record& record = net_->records[at];
      const bool ours = at >= from && record.sensor == sensor && !record.reverse;
      if (ours && open != SIZE_MAX && kept[open].gso_segs < most && joins(kept[open], record)) {
        Record& whole = kept[open];
        take(whole, record);
        if (last) whole.time = record.time;
        ++merged;
        continue;
      }
      kept.push_back(record);
      if (!ours) continue;
      open = payload_of(record) > 0 ? kept.size() - 1 : SIZE_MAX;
      most = 1 + random_() % 24;
    }
    for (Record& record : kept) {
      if (record.gso_segs == 1) record.gso_segs = record.gso_size = 0;
    }
    net_->records = std::move(kept);
    return merged;
  }

 private:
  static analysis::PacketInfo info_of(const Record& record) {
    return analysis::parse_packet(record.frame, record.wire_len);
  }
  static std::uint32_t payload_of(const Record& record) { return info_of(record).payload; }

  static bool joins(const Record& whole, const Record& next) {
    const auto a = info_of(whole), b = info_of(next);
    return b.payload > 0 && b.payload == net_mss(whole, a) && next.time - whole.time < kMs &&
           a.tcp.sequence + a.payload == b.tcp.sequence && a.tcp.ack == b.tcp.ack &&
           a.tcp.tsval == b.tcp.tsval;
  }
  static std::uint32_t net_mss(const Record& whole, const analysis::PacketInfo& info) {
    return whole.gso_size ? whole.gso_size : info.payload;
  }

  void take(Record& whole, const Record& next) {
    const std::uint32_t payload = payload_of(next);
    if (whole.gso_segs == 0) {
      whole.gso_segs = 1;
      whole.gso_size = static_cast<std::uint16_t>(payload);
      whole.digest = (std::uint64_t{random_()} << 32) | random_();
    }
    ++whole.gso_segs;
    whole.wire_len += payload;
    const bool ipv6 = whole.frame[12] == 0x86;
    const std::size_t at = ipv6 ? 18 : 16;
    const std::uint32_t length = (whole.frame[at] << 8 | whole.frame[at + 1]) + payload;
    whole.frame[at] = static_cast<std::uint8_t>(length >> 8);
    whole.frame[at + 1] = static_cast<std::uint8_t>(length);
  }

  World* net_;
  std::mt19937 random_;
};

Config bulk() {
  Config config;
  config.segments = 1200;
  config.window = 24;
  config.pace_ns = kMs / 40;
  return config;
}

bool says(const PathReport& report, const std::string& text) {
  return std::any_of(report.incomplete.begin(), report.incomplete.end(),
                     [&](const std::string& line) { return line.find(text) != std::string::npos; });
}

std::uint64_t undecided(const analysis::Direction& direction) {
  std::uint64_t sum = 0;
  for (std::size_t at = 1; at + 1 < direction.sections.size(); ++at)
    sum += direction.sections[at].undecided;
  return sum;
}

// Records come when their sensor sends them, not when they were made.
void delay_arrival(World& net, std::mt19937& random) {
  std::array<std::uint64_t, 3> lag{};
  for (auto& one : lag) one = random() % 1500 * kMs;
  std::stable_sort(net.records.begin(), net.records.end(), [&](const Record& a, const Record& b) {
    return a.time + lag[a.sensor] < b.time + lag[b.sensor];
  });
}

Config random_network(std::uint32_t seed) {
  auto random = std::make_shared<std::mt19937>(seed);
  const auto chance = [random](unsigned in) { return (*random)() % in == 0; };
  Config config = bulk();
  config.ipv6 = seed % 3 == 1;
  config.timestamps = seed % 5 != 2;
  config.isn = seed % 4 ? 1000 : UINT32_MAX - 90'000;
  const unsigned forward = 60 + seed % 7 * 80, backward = 20 + seed % 5 * 60;
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

// Of each segment: where the sendings before the last that s1 saw were lost, as the network knows
// it and as the verdicts have it.
using Losses = std::map<std::uint32_t, std::multiset<std::size_t>>;

Losses true_losses(const World& net) {
  std::map<std::uint32_t, std::vector<std::size_t>> seen;
  for (const auto& [number, sending] : net.sendings) {
    if (sending.dropped_on != 0) seen[sending.sequence].push_back(sending.dropped_on);
  }
  Losses losses;
  for (const auto& [sequence, links] : seen) {
    for (std::size_t i = 0; i + 1 < links.size(); ++i) {
      if (links[i] != World::kArrived) losses[sequence].insert(links[i]);
    }
  }
  return losses;
}

void check_verdicts(const World& net, const analysis::RetransReport& report) {
  Losses told, truth = true_losses(net);
  std::set<std::uint32_t> open;
  for (const auto& verdict : report.verdicts) {
    if (verdict.reverse || verdict.unseen_before) continue;
    const std::uint32_t sequence = verdict.again.packet.sequence;
    const bool or_its_ack = verdict.cause == Cause::lost && !verdict.why.empty();
    CHECK(verdict.cause != Cause::undecided);
    if (or_its_ack) open.insert(sequence);
    if (verdict.cause == Cause::lost) told[sequence].insert(verdict.section);
  }
  for (const std::uint32_t sequence : open) {
    told.erase(sequence);
    truth.erase(sequence);
  }
  CHECK(told == truth);
}

}  // namespace

TEST_CASE("super-packets join as the segments that they are, wherever they were merged") {
  const auto seed = GENERATE(range(1u, 61u));
  CAPTURE(seed);
  std::mt19937 random(seed);
  World net(random_network(seed));
  net.run_tcp();
  Merger merger(net, seed);
  std::size_t merged = 0;
  const std::size_t from = seed % 2 ? 0 : random() % net.records.size() / 2;
  const unsigned which = 1 + seed % 7;  // which of the three sensors
  for (std::size_t sensor = 0; sensor < 3; ++sensor) {
    if (which >> sensor & 1) merged += merger.merge(sensor, from, sensor > 0);
  }
  REQUIRE(merged > 200);
  if (seed % 3) delay_arrival(net, random);
  const PathReport report = report_of(net);
  CAPTURE(analysis::to_table(report));
  CHECK(report.complete);
  CHECK(names(report.forward) == std::vector<std::string>{"s1", "s2", "s3"});
  for (std::size_t link = 1; link < 3; ++link) {
    const auto& section = report.forward.sections[link];
    CHECK(lost_ranges(section) == ranges(net.dropped[{link, false}]));
    CHECK(section.lost == net.dropped[{link, false}].size());
    CHECK(section.appeared == 0);
    CHECK(section.delay.samples + *section.lost + section.undecided == section.packets);
  }
  CHECK(undecided(report.forward) == 0);
  check_verdicts(net, analysis::judge_retransmissions(report));
}

TEST_CASE("a flow goes over to its headers in mid-run, and what is under way goes with it") {
  Config config = bulk();
  config.segments = 6000;  // 6 s: most of it is judged before
  config.drop = [](std::size_t link, const Wire& wire) {
    return link == 1 && !wire.reverse && wire.payload > 0 && wire.number % 97 == 0;
  };
  World net(config);
  net.run_tcp();
  REQUIRE(Merger(net, 1).merge(0, net.records.size() * 2 / 3, false) > 1000);
  // What s1 shows is the last to come.
  std::stable_sort(net.records.begin(), net.records.end(), [](const Record& a, const Record& b) {
    const auto time = [](const Record& one) {
      return one.time + (one.sensor == 0 ? 900 * kMs : 0);
    };
    return time(a) < time(b);
  });
  const PathReport report = report_of(net);
  CHECK(report.complete);
  CHECK(lost_ranges(report.forward.sections[1]) == ranges(net.dropped[{1, false}]));
  CHECK(undecided(report.forward) == 0);
  const auto verdicts = analysis::judge_retransmissions(report);
  CHECK(verdicts.verdicts.size() == net.dropped[{1, false}].size());
  for (const auto& verdict : verdicts.verdicts) {
    CHECK(verdict.cause == Cause::lost);
    CHECK(verdict.section == 1);
  }
}

TEST_CASE("flows without super-packets are known by their digests") {
  Config config = bulk();
  config.drop = [](std::size_t link, const Wire& wire) {
    return link == 1 && !wire.reverse && wire.number % 50 == 9;
  };
  World net(config);
  net.run_tcp();
  const PathReport before = report_of(net);
  CHECK(lost_digests(before.forward.sections[1]) == digests(net.dropped[{1, false}]));
  Merger(net, 3).merge(0, 0, false);
  const PathReport report = report_of(net);
  CHECK(lost_digests(report.forward.sections[1]) != digests(net.dropped[{1, false}]));
  // What carries no data has its digest still.
  CHECK(report.reverse.sections[1].delay.samples == before.reverse.sections[1].delay.samples);
}

TEST_CASE("of a sample super-packets join with nothing, and nothing false follows") {
  Config config = bulk();
  config.drop = [](std::size_t link, const Wire& wire) {
    return link == 1 && !wire.reverse && wire.number % 50 == 9;
  };
  World net(config);
  net.run_tcp();
  REQUIRE(Merger(net, 5).merge(0, 0, false) > 200);
  const auto analyzer = analysis::PathAnalyzer::create();
  Feed feed;
  feed.sample_bits = {{"s1", 2}, {"s2", 2}, {"s3", 2}};
  feed_interfaces(*analyzer, net, feed);
  feed_reports(*analyzer, net, feed);
  for (const Record& record : net.records) {
    if (feed.keeps(net, record)) feed_record(*analyzer, record);
  }
  const PathReport report = analyzer->report();
  CHECK(says(report, "of which a sample was recorded"));
  CHECK(report.forward.sections[1].lost_packets.empty());
  CHECK(report.forward.sections[2].lost == 0u);
}

TEST_CASE("what a super-packet claims of itself is believed if its headers say so") {
  World net(bulk());
  net.run_tcp();
  REQUIRE(Merger(net, 7).merge(0, 0, false) > 200);
  const auto first = std::find_if(net.records.begin(), net.records.end(),
                                  [](const Record& record) { return record.gso_segs > 2; });
  REQUIRE(first != net.records.end());
  const std::uint64_t segments = first->gso_segs;
  std::uint64_t claimed = 0;
  SECTION("more segments than it can hold") {
    claimed = first->gso_segs = UINT16_MAX;
  }
  SECTION("fewer") {
    claimed = first->gso_segs = 2;
  }
  SECTION("of no length") {
    first->gso_size = 0;
    claimed = segments;
  }
  SECTION("of hardly any") {
    first->gso_size = 1;
    claimed = first->gso_segs = static_cast<std::uint16_t>(segments * 1000);
  }
  const PathReport report = report_of(net);
  CHECK(says(report, std::to_string(claimed) + " packets came in super-packets whose length"));
  CHECK(report.forward.points[0].unjoined == claimed);
  CHECK(report.forward.points[0].seen == report.forward.points[0].recorded);
  for (std::size_t at = 1; at < 3; ++at) CHECK(report.forward.sections[at].lost == 0u);
}

TEST_CASE("datagrams of a super-packet are counted, named, and join with nothing") {
  Config config;
  World net(config);
  net.run_udp(400);
  for (Record& record : net.records) {
    if (record.sensor != 0 || record.sent != 200) continue;
    const auto info = analysis::parse_packet(record.frame, record.wire_len);
    record.gso_segs = 2;
    record.gso_size = static_cast<std::uint16_t>((info.payload + 1) / 2);
  }
  const PathReport report = report_of(net);
  CHECK(says(report, "2 packets came in super-packets of no TCP"));
  CHECK(report.forward.points[0].unjoined == 2);
  CHECK(report.forward.sections[1].lost == 0u);
}

TEST_CASE("records that end inside the options join with no super-packet, and are no losses") {
  World net(bulk());
  net.run_tcp();
  REQUIRE(Merger(net, 9).merge(0, net.records.size() / 2, false) > 100);
  for (Record& record : net.records) {
    if (record.sensor == 1) record.frame.resize(14 + 20 + 24);
  }
  const PathReport report = report_of(net);
  CHECK(says(report, "end inside the TCP options"));
  CHECK_FALSE(report.complete);
  for (std::size_t at = 1; at < 3; ++at) CHECK(report.forward.sections[at].lost == 0u);
  for (const auto& verdict : analysis::judge_retransmissions(report).verdicts)
    CHECK(verdict.cause != Cause::lost);
}

TEST_CASE("which of two sendings that look alike was lost is said only where it can be told") {
  Config config = bulk();
  config.timestamps = false;
  const bool jitter = GENERATE(false, true);
  config.hold = [jitter](std::size_t link, const Wire& wire) {
    return jitter && link == 1 && !wire.reverse && wire.number % 29 < 2 ? 60 * kMs : 0;
  };
  config.drop = [](std::size_t link, const Wire& wire) {
    return link == 1 && !wire.reverse && wire.payload > 0 && wire.number % 53 == 0;
  };
  World net(config);
  net.run_tcp();
  REQUIRE(Merger(net, 11).merge(0, 0, false) > 200);
  const PathReport report = report_of(net);
  CHECK(lost_ranges(report.forward.sections[1]) == ranges(net.dropped[{1, false}]));
  const auto truth = true_losses(net);
  std::size_t in_doubt = 0, lost = 0;
  for (const auto& verdict : analysis::judge_retransmissions(report).verdicts) {
    const auto known = truth.find(verdict.again.packet.sequence);
    in_doubt += verdict.cause == Cause::undecided;
    lost += verdict.cause == Cause::lost;
    if (verdict.cause == Cause::undecided)
      CHECK(verdict.why.find("look alike") != std::string::npos);
    if (verdict.cause == Cause::lost) CHECK(known != truth.end());
  }
  CHECK((in_doubt > 0) == jitter);
  CHECK((lost > 0) == !jitter);
}

TEST_CASE("what a NIC has put together without saying where is no loss") {
  Config config = bulk();
  config.isn = UINT32_MAX - 300'000;
  config.drop = [](std::size_t link, const Wire& wire) {
    return link == 2 && !wire.reverse && wire.payload > 0 && wire.number % 61 == 0;
  };
  World net(config);
  net.run_tcp();
  REQUIRE(Merger(net, 13).merge(2, 0, true) > 200);
  std::uint64_t hidden = 0;
  for (Record& record : net.records) {
    if (record.gso_segs < 3) continue;
    hidden += record.gso_segs;
    // LRO: its length, divided by one segment more than there were.
    const std::uint32_t payload = record.gso_segs * 1000u;
    ++record.gso_segs;
    record.gso_size =
        static_cast<std::uint16_t>((payload + record.gso_segs - 1u) / record.gso_segs);
  }
  const PathReport report = report_of(net);
  const auto& section = report.forward.sections[2];
  CHECK(lost_ranges(section) == ranges(net.dropped[{2, false}]));
  CHECK(section.appeared == 0);
  CHECK(section.recut == hidden);
  CHECK(section.undecided == hidden);
  CHECK(section.note.find("cut otherwise") != std::string::npos);
  for (const auto& verdict : analysis::judge_retransmissions(report).verdicts)
    CHECK(verdict.cause == Cause::lost);
}
