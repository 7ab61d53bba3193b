// SPDX-License-Identifier: Apache-2.0
// Packets of several sessions in one order of time, while they come.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "cli/live_merge.h"
#include "proto/frame.h"

using namespace fieldline;
using namespace fieldline::cli;

namespace {

constexpr std::uint64_t kMs = 1'000'000;

// What an archive sends, written piece by piece.
class Answer {
 public:
  Answer() { pcapng::write(bytes_, pcapng::Section{"fieldline", "{}"}); }

  Answer& report(std::uint8_t type, const nlohmann::json& document) {
    const std::string text = document.dump();
    pcapng::Report report;
    report.type = type;
    report.encoding = FL_ENCODING_JSON;
    report.payload = view(text);
    pcapng::write(bytes_, report);
    return *this;
  }
  Answer& started(const std::string& session, const std::string& role = "sensor") {
    return report(FL_FRAME_ACTIVATION, {{"event", "started"},
                                        {"session", session},
                                        {"sensor", session},
                                        {"role", role},
                                        {"grant", {{"not_after_ns", 77}}}});
  }
  Answer& counted(const std::string& session, bool final = true) {
    return report(FL_FRAME_FINAL_COUNTS,
                  {{"session", session}, {"sensor", session}, {"final", final}});
  }
  Answer& interface(const std::string& session) {
    pcapng::Interface one;
    one.name = session + ":p";
    one.comment = nlohmann::json{{"session", session}, {"sensor", session}}.dump();
    pcapng::write(bytes_, one);
    return *this;
  }
  Answer& packet(std::uint32_t interface, std::uint64_t time_ns) {
    static const Bytes data(60, 7);
    pcapng::Packet one;
    one.interface = interface;
    one.timestamp_ns = time_ns;
    one.wire_len = 1500;
    one.data = data;
    pcapng::write(bytes_, one);
    return *this;
  }
  Bytes take() { return std::exchange(bytes_, {}); }

 private:
  Bytes bytes_;
};

// What was written, read back.
class Written {
 public:
  explicit Written(LiveMerge& merge) : merge_(merge) {}

  // The times of the packets that may be written by now.
  std::vector<std::uint64_t> at(std::uint64_t now_ns) {
    Bytes bytes;
    while (merge_.drain(now_ns, bytes, 512)) {
    }
    return times_of(bytes);
  }
  std::vector<std::uint64_t> times_of(ByteView bytes) {
    std::vector<std::uint64_t> times;
    reader_.feed(bytes);
    for (;;) {
      auto block = reader_.next();
      REQUIRE(block.has_value());
      if (!*block) return times;
      if (const auto* packet = std::get_if<pcapng::Packet>(&**block))
        times.push_back(packet->timestamp_ns);
      if (const auto* end = std::get_if<pcapng::Statistics>(&**block))
        received.push_back(end->received.value_or(0));
      REQUIRE(!std::holds_alternative<pcapng::Report>(**block));
    }
  }
  std::vector<std::uint64_t> received;

 private:
  LiveMerge& merge_;
  pcapng::Reader reader_;
};

using Times = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("a packet waits until each session that is on has given something later") {
  LiveMerge merge({500 * kMs});
  Written written(merge);
  Answer answer;
  answer.started("a").started("b").started("h", "host").interface("a").packet(0, 10).packet(0, 30);
  REQUIRE(merge.feed(answer.take(), 0).has_value());
  CHECK(written.at(1) == Times{});
  answer.interface("b").packet(1, 20);
  REQUIRE(merge.feed(answer.take(), 5 * kMs).has_value());
  CHECK(written.at(5 * kMs) == Times{10, 20});
  answer.packet(1, 40).counted("a").counted("b", false).packet(1, 50);
  REQUIRE(merge.feed(answer.take(), 6 * kMs).has_value());
  CHECK(written.at(6 * kMs) == Times{30, 40, 50});  // what has ended is not waited for
  CHECK(merge.counts().received == 5);
  CHECK(merge.counts().written == 5);
  CHECK(merge.counts().late == 0);
  CHECK_FALSE(merge.due_ns().has_value());
  CHECK(merge.life().without_final_counts() == std::vector<std::string>{"b", "h"});
  CHECK(merge.life().not_after_ns() == 77);
}

TEST_CASE("a packet waits no longer than the limit, and what is late is written and counted") {
  LiveMerge merge({500 * kMs});
  Written written(merge);
  Answer answer;
  answer.started("a").started("b").interface("a").interface("b").packet(0, 100).packet(0, 90);
  REQUIRE(merge.feed(answer.take(), 10 * kMs).has_value());
  CHECK(merge.due_ns() == 510 * kMs);
  CHECK(written.at(509 * kMs) == Times{});
  answer.packet(0, 200);
  REQUIRE(merge.feed(answer.take(), 300 * kMs).has_value());
  CHECK(written.at(510 * kMs) == Times{90, 100});
  CHECK(merge.due_ns() == 800 * kMs);
  answer.packet(1, 50);
  REQUIRE(merge.feed(answer.take(), 600 * kMs).has_value());
  CHECK(written.at(600 * kMs) == Times{50});
  CHECK(merge.counts().late == 1);
  CHECK(written.at(800 * kMs) == Times{200});
  CHECK_FALSE(merge.due_ns().has_value());
}

TEST_CASE("what is held is bounded, and goes in order when it is not") {
  LiveMerge merge({500 * kMs, 40'000});
  Written written(merge);
  Answer answer;
  answer.started("a").started("b").interface("a");
  for (std::uint64_t i = 0; i < 1000; ++i) answer.packet(0, 1000 + (i ^ 1));
  REQUIRE(merge.feed(answer.take(), 0).has_value());
  CHECK(merge.is_full());
  const Times first = written.at(1);
  CHECK(first.size() > 500);
  CHECK(first.size() < 1000);
  CHECK(std::is_sorted(first.begin(), first.end()));
  CHECK_FALSE(merge.is_full());
  merge.end();
  CHECK(first.size() + written.at(2).size() == 1000);
  Bytes end;
  merge.finish(end);
  CHECK(written.times_of(end).empty());
  CHECK(written.received == std::vector<std::uint64_t>{1000});
  CHECK(merge.counts().late == 0);
}

TEST_CASE("a hostile answer is refused, and no time stays for ever") {
  LiveMerge merge({500 * kMs});
  Written written(merge);
  Answer answer;
  answer.started("a").interface("a").packet(0, UINT64_MAX).packet(0, 5);
  REQUIRE(merge.feed(answer.take(), 0).has_value());
  merge.end();
  CHECK(written.at(0) == Times{5, UINT64_MAX});
  SECTION("a packet of no interface") {
    CHECK_FALSE(merge.feed(answer.packet(1, 6).take(), 1).has_value());
  }
  SECTION("a second section") {
    CHECK_FALSE(merge.feed(Answer().take(), 1).has_value());
  }
  SECTION("reports that are no objects") {
    answer.report(FL_FRAME_ACTIVATION, 5).report(FL_FRAME_FINAL_COUNTS, nlohmann::json::array());
    CHECK(merge.feed(answer.take(), 1).has_value());
  }
  SECTION("no pcapng") {
    const Bytes junk(64, 0xff);
    CHECK_FALSE(merge.feed(junk, 1).has_value());
  }
}
