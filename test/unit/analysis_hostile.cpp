// SPDX-License-Identifier: Apache-2.0
// Damaged packets, blocks and reports: counted, never a crash.
#include <algorithm>
#include <random>

#include <catch2/catch.hpp>

#include "analysis/packet.h"
#include "analysis_world.h"
#include "proto/frame.h"

using namespace world;
using analysis::parse_packet;

namespace {

std::uint64_t sum(const std::map<std::string, std::uint64_t>& counts) {
  std::uint64_t all = 0;
  for (const auto& [name, count] : counts) all += count;
  return all;
}

Bytes ip6_with(std::initializer_list<std::uint8_t> extensions, std::uint8_t first) {
  Bytes frame(12, 2);
  frame.insert(frame.end(), {0x86, 0xdd, 0x60, 0, 0, 0, 0,
                             static_cast<std::uint8_t>(extensions.size() + 8), first, 60});
  frame.resize(frame.size() + 32, 1);
  frame.insert(frame.end(), extensions);
  frame.insert(frame.end(), {0, 53, 0, 54, 0, 8, 0, 0});
  return frame;
}

}  // namespace

TEST_CASE("every truncation of a packet is read as far as it goes and named") {
  Config config;
  config.ipv6 = GENERATE(false, true);
  config.drop = [](std::size_t at, const Wire& wire) { return at == 3 && wire.number == 40; };
  config.segments = 60;
  World net(config);
  net.run_tcp();
  for (const Record& record : net.records) {
    for (std::size_t length = 0; length < record.frame.size(); ++length) {
      const auto info = parse_packet(ByteView(record.frame).first(length), record.wire_len);
      REQUIRE(info.problem != nullptr);
    }
    const auto info = parse_packet(record.frame, record.wire_len);
    REQUIRE(info.problem == nullptr);
    REQUIRE(info.transport);
    REQUIRE(info.payload == record.wire_len - record.frame.size());
  }
}

TEST_CASE("IPv6 extension headers are followed, as many as a sensor follows") {
  const Bytes one = ip6_with({17, 0, 0, 0, 0, 0, 0, 0}, 0);
  CHECK(parse_packet(one, 200).dport == 54);
  const Bytes fragment = ip6_with({17, 0, 0, 1, 0, 0, 0, 9}, 44);
  CHECK(parse_packet(fragment, 200).sport == 53);
  const Bytes later = ip6_with({17, 0, 0, 0x10, 0, 0, 0, 9}, 44);
  CHECK(parse_packet(later, 200).problem == std::string("later_fragment"));
  const Bytes endless = ip6_with({60, 200, 0, 0, 0, 0, 0, 0}, 60);
  CHECK(parse_packet(endless, 200).problem == std::string("ip_truncated"));
  Bytes many(12, 2);
  many.insert(many.end(), {0x86, 0xdd, 0x60, 0, 0, 0, 0, 80, 60, 60});
  many.resize(many.size() + 32, 1);
  for (int i = 0; i < 10; ++i) many.insert(many.end(), {60, 0, 1, 4, 0, 0, 0, 0});
  CHECK(parse_packet(many, 200).problem == std::string("extensions_too_many"));
}

TEST_CASE("VLAN tags are stepped over") {
  Config config;
  config.segments = 1;
  World net(config);
  net.run_tcp();
  Bytes tagged = net.records[0].frame;
  const Bytes tags{0x88, 0xa8, 0, 5, 0x81, 0x00, 0, 7};
  tagged.insert(tagged.begin() + 12, tags.begin(), tags.end());
  const auto info = parse_packet(tagged, 100);
  CHECK(info.problem == nullptr);
  CHECK(info.sport == 40000);
  CHECK(info.tcp.flags == analysis::kSyn);
}

TEST_CASE("100,000 mutated packets and blocks are counted and never crash") {
  Config config;
  config.ipv6 = GENERATE(false, true);
  config.segments = 120;
  config.drop = [](std::size_t at, const Wire& wire) { return at == 2 && wire.number % 11 == 0; };
  World net(config);
  net.run_tcp();
  std::mt19937_64 random(42);
  const auto analyzer = analysis::PathAnalyzer::create();
  feed_interfaces(*analyzer, net);
  std::uint64_t fed = 0;
  for (int i = 0; i < 50'000; ++i) {
    Record record = net.records[random() % net.records.size()];
    record.number = static_cast<std::uint64_t>(i) + 1;
    if (random() % 4 == 0) record.frame.resize(random() % (record.frame.size() + 1));
    for (auto flips = random() % 4; flips > 0 && !record.frame.empty(); --flips) {
      record.frame[random() % record.frame.size()] ^= static_cast<std::uint8_t>(1u << random() % 8);
    }
    if (random() % 8 == 0) record.time = random();
    if (random() % 8 == 0) record.digest = random();
    if (random() % 16 == 0) record.number = random();
    if (random() % 32 == 0) record.sensor = random() % 100;
    feed_record(*analyzer, record);
    ++fed;
    if (i % 10'000 == 0) (void)to_json(analyzer->report());
  }
  const auto report = analyzer->report();
  std::uint64_t recorded = 0, dropped = 0;
  for (const auto* direction : {&report.forward, &report.reverse}) {
    for (const auto& point : direction->points) recorded += point.recorded;
  }
  for (const auto& [reason, count] : report.ignored)
    dropped += reason.rfind("packet_", 0) == 0 ? count : 0;
  CHECK(recorded + dropped == fed);
  CHECK(report.ignored.count("packet_interface_unknown"));
  CHECK_FALSE(report.complete);
  CHECK_FALSE(to_table(report, true).empty());
  CHECK_FALSE(
      to_json(report).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).empty());
}

TEST_CASE("mutated pcapng streams end in a counted report") {
  Config config;
  config.segments = 20;
  World net(config);
  net.run_tcp();
  Bytes whole;
  pcapng::write(whole, pcapng::Section{"fieldline", "{}"});
  pcapng::Interface interface;
  interface.comment =
      nlohmann::json{{"run", run_id().hex()}, {"sensor", "s1"}, {"session", session_of("s1")}}
          .dump();
  pcapng::write(whole, interface);
  for (const Record& record : net.records) {
    if (record.sensor != 0) continue;
    pcapng::Packet packet;
    packet.timestamp_ns = record.time;
    packet.wire_len = record.wire_len;
    packet.data = record.frame;
    packet.sequence = record.number;
    packet.meta =
        fl_chunk_packet{.magic = FL_PCAPNG_MAGIC,
                        .flags = static_cast<__le16>(record.reverse ? FL_RECORD_REVERSE : 0),
                        .digest = record.digest};
    pcapng::write(whole, packet);
  }
  const auto run = [](const Bytes& bytes) {
    const auto analyzer = analysis::PathAnalyzer::create();
    pcapng::Reader reader;
    reader.feed(bytes);
    for (auto block = reader.next(); block && *block; block = reader.next()) {
      REQUIRE(analyzer->feed(**block).has_value());
    }
    return analyzer->report();
  };
  const auto report = run(whole);
  REQUIRE(report.forward.points.size() == 1);
  CHECK(report.ignored.empty());
  CHECK(report.forward.sections[0].lost == 0u);
  std::mt19937_64 random(11);
  for (int i = 0; i < 3000; ++i) {
    Bytes damaged = whole;
    for (auto flips = random() % 20 + 1; flips > 0; --flips) {
      damaged[random() % damaged.size()] ^= static_cast<std::uint8_t>(1u << random() % 8);
    }
    damaged.resize(random() % 2 ? damaged.size() : random() % damaged.size());
    (void)analysis::to_table(run(damaged));
  }
}

TEST_CASE("damaged reports and interface comments are counted") {
  const nlohmann::json whole{
      {"schema", "fieldline.final_counts/1"},
      {"sensor", "s1"},
      {"at_ns", 5},
      {"final", true},
      {"flows", {{"forward", {{"packets", 1}}}, {"reverse", {{"packets", 2}}}}}};
  const std::string text = whole.dump();
  std::mt19937_64 random(3);
  const auto analyzer = analysis::PathAnalyzer::create();
  for (int i = 0; i < 20'000; ++i) {
    std::string damaged = text.substr(0, random() % 3 ? text.size() : random() % text.size());
    for (auto flips = random() % 3; flips > 0 && !damaged.empty(); --flips) {
      damaged[random() % damaged.size()] = static_cast<char>(random());
    }
    pcapng::Report report;
    report.type = static_cast<std::uint8_t>(random() % 16);
    report.encoding = FL_ENCODING_JSON;
    report.run = run_id();
    report.sequence = random();
    report.payload = view(damaged);
    REQUIRE(analyzer->feed(report).has_value());
    pcapng::Interface interface;
    interface.comment = damaged;
    REQUIRE(analyzer->feed(interface).has_value());
  }
  const auto report = analyzer->report();
  CHECK(report.ignored.at("report_malformed") > 1000);
  CHECK(report.ignored.at("interface_without_run") == 20'000);
  CHECK_FALSE(analysis::to_table(report).empty());
}

TEST_CASE("packets without our digest, and of other link types, are refused by name") {
  World net({.segments = 1});
  net.run_tcp();
  const auto analyzer = analysis::PathAnalyzer::create();
  feed_interfaces(*analyzer, net);
  pcapng::Packet packet;
  packet.data = net.records[0].frame;
  REQUIRE(analyzer->feed(packet).has_value());
  pcapng::Interface raw;
  raw.comment = nlohmann::json{{"run", run_id().hex()}, {"sensor", "s1"}}.dump();
  raw.link_type = 101;
  REQUIRE(analyzer->feed(raw).has_value());
  const auto report = analyzer->report();
  CHECK(report.ignored.at("packet_without_digest") == 1);
  CHECK(report.ignored.at("interface_not_ethernet") == 1);
  CHECK(sum(report.ignored) == 2);
}

TEST_CASE("a hole as large as the sequence space does not become a list as long") {
  World net({.segments = 3});
  net.run_tcp();
  const auto analyzer = analysis::PathAnalyzer::create();
  feed_interfaces(*analyzer, net);
  Record record = *std::find_if(net.records.begin(), net.records.end(), [](const Record& one) {
    return one.sensor == 0 && !one.reverse && one.wire_len > 500;
  });
  for (std::uint32_t i = 0; i < 1000; ++i) {
    const std::uint32_t sequence = i * ((1u << 26) + 900);
    for (int byte = 0; byte < 4; ++byte) {
      record.frame[static_cast<std::size_t>(38 + byte)] =
          static_cast<std::uint8_t>(sequence >> (24 - 8 * byte));
    }
    record.number = i + 1;
    record.digest = i + 1;
    record.time += kMs;
    feed_record(*analyzer, record);
  }
  feed_reports(*analyzer, net);
  const auto report = analyzer->report();
  REQUIRE(report.forward.sections.size() == 2);
  CHECK(report.forward.sections[0].lost_packets.size() <= 65'536);
  CHECK(*report.forward.sections[0].lost > 65'536);
  CHECK(report.forward.sections[0].note.find("the list names the first") != std::string::npos);
}
