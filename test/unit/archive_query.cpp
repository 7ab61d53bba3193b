// SPDX-License-Identifier: Apache-2.0
#include "archive/filter.h"
#include "archive_fixture.h"

using namespace fieldline;
using namespace fieldline::test;

namespace {

const RunId kRun = id_of(0xa1), kSession = id_of(0x51), kSecond = id_of(0x52);
const Bytes kFrame = frame("10.0.0.1", "10.0.3.2", 40000, 5201);

archive::Query query_of(const RunId& run) {
  archive::Query query;
  query.run = run;
  return query;
}

archive::Query::Flow flow(const char* a, std::uint16_t port_a, const char* b,
                          std::uint16_t port_b) {
  archive::Query::Flow flow;
  if (*a) flow.a = *Prefix::parse(a);
  if (*b) flow.b = *Prefix::parse(b);
  flow.port_a = port_a;
  flow.port_b = port_b;
  return flow;
}

}  // namespace

TEST_CASE("a flow matches in either direction, by what was asked for alone") {
  for (int tags : {0, 1, 2}) {
    for (auto [a, b] :
         {std::pair{"10.0.0.1", "10.0.3.2"}, std::pair{"2001:db8::1", "2001:db8::2"}}) {
      Bytes there = frame(a, b, 40000, 5201, 6, tags), back = frame(b, a, 5201, 40000, 6, tags);
      for (const Bytes& packet : {there, back}) {
        REQUIRE(matches(flow("", 0, "", 0), packet));
        REQUIRE(matches(flow(a, 40000, b, 5201), packet));
        REQUIRE(matches(flow(b, 5201, a, 40000), packet));
        REQUIRE(matches(flow(a, 0, "", 5201), packet));
        REQUIRE(matches(flow("", 5201, "", 0), packet));
        REQUIRE_FALSE(matches(flow(a, 5201, b, 40000), packet));
        REQUIRE_FALSE(matches(flow(a, 0, a, 0), packet));
        REQUIRE_FALSE(matches(flow("", 5202, "", 0), packet));
        auto udp = flow(a, 0, b, 0);
        udp.protocol = 17;
        REQUIRE_FALSE(matches(udp, packet));
      }
    }
  }
  REQUIRE(matches(flow("10.0.0.0/16", 0, "", 0), kFrame));
  REQUIRE_FALSE(matches(flow("10.1.0.0/16", 0, "", 0), kFrame));
  REQUIRE_FALSE(matches(flow("", 0, "", 0), frame("10.0.0.1", "10.0.3.2", 1, 2, 6, 3)));
}

TEST_CASE("a packet that was cut or is odd matches only what its bytes tell") {
  for (const Bytes& whole : {kFrame, frame("2001:db8::1", "2001:db8::2", 40000, 5201)}) {
    std::size_t transport = whole.size() - 20;
    for (std::size_t length = 0; length < whole.size(); ++length) {
      ByteView cut = ByteView(whole).first(length);
      REQUIRE(matches(flow("", 40000, "", 0), cut) == (length >= transport + 4));
    }
  }
  Bytes fragment = kFrame;
  fragment[14 + 7] = 5;
  REQUIRE(matches(flow("10.0.0.1", 0, "", 0), fragment));
  REQUIRE_FALSE(matches(flow("10.0.0.1", 40000, "", 0), fragment));
  Bytes short_header = kFrame;
  short_header[14] = 0x41;
  REQUIRE_FALSE(matches(flow("", 0, "", 0), short_header));
  Bytes arp = kFrame;
  arp[12] = 8, arp[13] = 6;
  REQUIRE_FALSE(matches(flow("", 0, "", 0), arp));
}

TEST_CASE("an answer holds what the filters ask for") {
  TempDir dir;
  auto archive = open_archive(dir.path(), 4096);
  open_session(*archive, kSession, "s1");
  open_session(*archive, kSecond, "s11");
  const Bytes other = frame("10.0.0.1", "10.0.3.2", 40001, 5201);
  for (const RunId& session : {kSession, kSecond}) {
    REQUIRE(archive->append(session, configuration(1).report()));
    for (std::uint64_t n = 2; n <= 101; ++n) {
      auto port = static_cast<std::uint16_t>(n % 2);
      REQUIRE(archive->append(session, record(kRun, n, n % 4 ? kFrame : other, 1000 * n, port)));
    }
  }
  auto query = query_of(kRun);
  REQUIRE(ask(*archive, query).packets.size() == 200);

  query.vantage = "s1";
  auto answer = ask(*archive, query);
  REQUIRE(answer.packets.size() == 100);
  REQUIRE(answer.reports.size() == 1);
  query.vantage = "s1:tap1";
  answer = ask(*archive, query);
  REQUIRE(answer.packets.size() == 50);
  REQUIRE(answer.interfaces == std::vector<std::string>{"s1:tap1"});
  query.vantage = "s2";
  REQUIRE(ask(*archive, query).packets.empty());

  query = query_of(kRun);
  query.from_ns = 10'000;
  query.to_ns = 20'000;
  answer = ask(*archive, query);
  REQUIRE(answer.packets.size() == 20);
  REQUIRE(answer.packets.front().timestamp_ns == 10'000);
  REQUIRE(answer.packets.back().timestamp_ns == 19'000);

  query = query_of(kRun);
  query.flow = flow("10.0.3.2", 5201, "10.0.0.1", 40001);
  query.reports = false;
  answer = ask(*archive, query);
  REQUIRE(answer.packets.size() == 50);
  REQUIRE(answer.reports.empty());
}

TEST_CASE("sessions are merged by time") {
  TempDir dir;
  auto archive = open_archive(dir.path(), 4096);
  open_session(*archive, kSession, "s1");
  open_session(*archive, kSecond, "s2");
  for (std::uint64_t n = 1; n <= 300; ++n) {
    REQUIRE(archive->append(kSession, record(kRun, n, kFrame, 10 * n)));
  }
  for (std::uint64_t n = 1; n <= 300; ++n) {
    REQUIRE(archive->append(kSecond, record(kRun, n, kFrame, 10 * n + 3)));
  }
  auto answer = ask(*archive, kRun);
  REQUIRE(answer.packets.size() == 600);
  for (std::size_t i = 1; i < answer.packets.size(); ++i) {
    REQUIRE(answer.packets[i - 1].timestamp_ns < answer.packets[i].timestamp_ns);
  }
}

TEST_CASE("an answer is what stood there when it was asked for; a followed one goes on") {
  TempDir dir;
  auto archive = open_archive(dir.path(), 4096);
  open_session(*archive, kSession, "s1");
  REQUIRE(archive->append(kSession, configuration(1).report()));
  REQUIRE(archive->append(kSession, record(kRun, 2, kFrame)));

  auto still = archive->query(query_of(kRun));
  REQUIRE(still);
  auto follow = query_of(kRun);
  follow.follow = true;
  auto followed = archive->query(follow);
  REQUIRE(followed);
  AnswerReader early, live;
  live.drain(**followed);
  REQUIRE(live.answer.sequences() == numbers(2, 2));
  REQUIRE_FALSE(live.answer.complete);

  REQUIRE(archive->append(kSession, activation(kRun, 3, "started").report()));
  for (std::uint64_t n = 4; n <= 150; ++n) {  // over several chunks
    REQUIRE(archive->append(kSession, record(kRun, n, kFrame)));
    if (n % 10 == 0) live.drain(**followed);
    if (n % 35 == 0) sync(*archive);
  }
  early.drain(**still);
  REQUIRE(early.answer.complete);
  REQUIRE(early.answer.sequences() == numbers(2, 2));

  // A second sensor comes in late.
  open_session(*archive, kSecond, "s2");
  REQUIRE(archive->append(kSecond, activation(kRun, 1, "started").report()));
  REQUIRE(archive->append(kSecond, record(kRun, 2, kFrame)));
  REQUIRE(archive->append(kSession, counts(kRun, 151, false).report()));
  REQUIRE(archive->append(kSession, counts(kRun, 152, true).report()));
  live.drain(**followed);
  REQUIRE_FALSE(live.answer.complete);
  REQUIRE(archive->append(kSecond, counts(kRun, 3, true).report()));
  REQUIRE(archive->close_session(kSecond));
  live.drain(**followed);
  REQUIRE(live.answer.complete);
  REQUIRE(live.answer.packets.size() == 149);
  REQUIRE(live.answer.reports.size() == 6);
  REQUIRE(live.answer.interfaces == std::vector<std::string>{"s1:tap0", "s2:port0"});
  REQUIRE(live.answer.statistics.size() == 2);
  REQUIRE(live.answer.skipped_bytes == 0);
}

TEST_CASE("a run that is not there yet can be followed, not asked for") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  auto query = query_of(kRun);
  REQUIRE(archive->query(query).error().code == Code::not_found);
  query.follow = true;
  auto cursor = archive->query(query);
  REQUIRE(cursor);
  AnswerReader reader;
  reader.drain(**cursor);
  open_session(*archive, kSession, "s1");
  REQUIRE(archive->append(kSession, record(kRun, 1, kFrame)));
  reader.drain(**cursor);
  REQUIRE(reader.answer.sequences() == numbers(1, 1));
}

TEST_CASE("a followed answer steps over damage and still ends") {
  TempDir dir;
  auto archive = open_archive(dir.path(), 4096);
  open_session(*archive, kSession, "s1");
  REQUIRE(archive->append(kSession, activation(kRun, 1, "started").report()));
  for (std::uint64_t n = 2; n <= 100; ++n) {
    REQUIRE(archive->append(kSession, record(kRun, n, kFrame)));
  }
  REQUIRE(archive->append(kSession, counts(kRun, 101, true).report()));
  sync(*archive);
  auto file = chunk_files(dir.path(), "sealed")[1];
  Bytes bytes = slurp(file);
  std::fill(bytes.begin() + 2000, bytes.begin() + 2400, std::uint8_t{0xff});
  spit(file, bytes);
  auto query = query_of(kRun);
  query.follow = true;
  auto cursor = archive->query(query);
  AnswerReader reader;
  reader.drain(**cursor);
  REQUIRE(reader.answer.complete);
  REQUIRE(reader.answer.skipped_bytes >= 400);
  REQUIRE(reader.answer.packets.size() > 85);
}

TEST_CASE("an answer that outlives its archive says so") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  open_session(*archive, kSession, "s1");
  REQUIRE(archive->append(kSession, record(kRun, 1, kFrame)));
  auto query = query_of(kRun);
  query.follow = true;
  auto cursor = archive->query(query);
  archive.reset();
  REQUIRE((*cursor)->next()->has_value());
  REQUIRE((*cursor)->next().error().code == Code::closed);
}
