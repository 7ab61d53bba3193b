// SPDX-License-Identifier: Apache-2.0
#include "archive_fixture.h"

using namespace fieldline;
using namespace fieldline::test;

namespace {

const RunId kRun = id_of(0xa1), kOther = id_of(0xa2), kSession = id_of(0x51);
const Bytes kFrame = frame("10.0.0.1", "10.0.3.2", 40000, 5201);

}  // namespace

TEST_CASE("what is stored comes back, with names from the configuration") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  REQUIRE(open_session(*archive, kSession) == 0);
  REQUIRE(archive->append(kSession, configuration(1).report()));
  REQUIRE(archive->append(kSession, activation(kRun, 2, "started").report()));
  REQUIRE(archive->append(kSession, record(kRun, 3, kFrame)));
  REQUIRE(archive->append(kSession, record(kRun, 4, kFrame, 0, 1)));
  REQUIRE(archive->append(kSession, record(kRun, 5, kFrame, 0, 9)));
  REQUIRE(sync(*archive) == std::map<RunId, std::uint64_t>{{kSession, 5}});

  auto answer = ask(*archive, kRun);
  REQUIRE(answer.sequences() == numbers(3, 5));
  REQUIRE(answer.interfaces == std::vector<std::string>{"s1:tap0", "s1:tap1", "s1:port9"});
  REQUIRE(answer.packets[0].data == kFrame);
  REQUIRE(answer.packets[0].digest == 9);
  REQUIRE(answer.reports.size() == 2);
  REQUIRE(answer.statistics.size() == 3);
  REQUIRE(answer.statistics[0].received == 1);
  auto comment = nlohmann::json::parse(answer.comments[1]);
  REQUIRE(comment["run"] == kRun.hex());
  REQUIRE(comment["session"] == kSession.hex());
  REQUIRE(comment["sensor"] == "s1");
  REQUIRE(comment["domain"] == "site-a");
  REQUIRE(comment["port"] == 1);
  REQUIRE(comment["interface"] == "tap1");
}

TEST_CASE("an item that comes twice is stored once and counted") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  open_session(*archive, kSession);
  for (std::uint64_t n : {1, 2, 2, 1, 3}) {
    REQUIRE(archive->append(kSession, record(kRun, n, kFrame)));
  }
  REQUIRE(archive->append(kSession, counts(kRun, 3, false).report()));
  REQUIRE(archive->counters().duplicates == 3);
  REQUIRE(archive->counters().records == 3);
  REQUIRE(ask(*archive, kRun).sequences() == numbers(1, 3));
  sync(*archive);
  // Sent again by a producer that has not heard of the sync: it is told again.
  REQUIRE(archive->append(kSession, record(kRun, 3, kFrame)));
  REQUIRE(sync(*archive)[kSession] == 3);
  REQUIRE(sync(*archive).empty());
}

TEST_CASE("a skipped number is a gap: counted and stored") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  open_session(*archive, kSession);
  REQUIRE(archive->append(kSession, record(kRun, 1, kFrame)));
  REQUIRE(archive->append(kSession, record(kRun, 5, kFrame)));
  REQUIRE(archive->counters().gaps == 3);
  REQUIRE(ask(*archive, kRun).sequences() == std::vector<std::uint64_t>{1, 5});
}

TEST_CASE("items of a session that is not open, of no run, or too long are refused") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  REQUIRE(archive->append(kSession, record(kRun, 1, kFrame)).error().code == Code::not_found);
  open_session(*archive, kSession);
  REQUIRE(archive->append(kSession, record(RunId{}, 1, kFrame)).error().code == Code::invalid);
  Bytes longer(65536);
  REQUIRE(archive->append(kSession, record(kRun, 1, longer)).error().code == Code::invalid);
  Document report{FL_FRAME_ACTIVATION, 1, kRun, std::string(FL_FRAME_MAX + 1, ' ')};
  REQUIRE(archive->append(kSession, report.report()).error().code == Code::invalid);
  REQUIRE(archive->append(kSession, record(kRun, 1, kFrame)));
}

TEST_CASE("a session belongs to the key that opened it") {
  TempDir dir;
  {
    auto archive = open_archive(dir.path());
    open_session(*archive, kSession);
    REQUIRE(archive->append(kSession, record(kRun, 1, kFrame)));
    auto stolen = archive->open_session(kSession, "SHA256:other", "s1", "site-a");
    REQUIRE(stolen.error().code == Code::denied);
    sync(*archive);
  }
  auto archive = open_archive(dir.path());
  auto stolen = archive->open_session(kSession, "SHA256:other", "s1", "site-a");
  REQUIRE(stolen.error().code == Code::denied);
  REQUIRE(open_session(*archive, kSession) == 1);
}

TEST_CASE("two runs in one session stay apart") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  open_session(*archive, kSession);
  for (std::uint64_t n = 1; n <= 100; ++n) {
    REQUIRE(archive->append(kSession, record(n % 2 ? kRun : kOther, n, kFrame)));
  }
  auto one = ask(*archive, kRun), two = ask(*archive, kOther);
  REQUIRE(one.packets.size() == 50);
  REQUIRE(two.packets.size() == 50);
  for (const auto& packet : one.packets) REQUIRE(packet.sequence % 2 == 1);
  for (const auto& comment : two.comments) {
    REQUIRE(nlohmann::json::parse(comment)["run"] == kOther.hex());
  }
}

TEST_CASE("a full chunk is sealed, and every chunk reads on its own") {
  TempDir dir;
  {
    auto archive = open_archive(dir.path(), 4096);
    open_session(*archive, kSession);
    REQUIRE(archive->append(kSession, configuration(1).report()));
    REQUIRE(archive->append(kSession, activation(kRun, 2, "started").report()));
    REQUIRE(archive->append(kSession, activation(kOther, 3, "started").report()));
    REQUIRE(archive->append(kSession, counts(kOther, 4, true).report()));
    for (std::uint64_t n = 5; n <= 200; ++n) {
      REQUIRE(archive->append(kSession, record(kRun, n, kFrame)));
    }
    REQUIRE(sync(*archive)[kSession] == 200);
    REQUIRE(archive->counters().chunks_sealed >= 4);
    REQUIRE(chunk_files(dir.path(), "sealed").size() == archive->counters().chunks_sealed);
    REQUIRE(chunk_files(dir.path(), "open").size() == 1);
    auto answer = ask(*archive, kRun);
    REQUIRE(answer.sequences() == numbers(5, 200));
    REQUIRE(answer.reports.size() == 2);  // copies are not told twice
    REQUIRE(answer.interfaces.size() == 1);
    REQUIRE(archive->runs(9)->front().records == 196);
  }
  for (const auto& file : chunk_files(dir.path(), "sealed")) {
    TempDir alone;
    std::filesystem::create_directories(alone.path() + "/sealed");
    std::filesystem::copy(file, alone.path() + "/sealed");
    auto archive = open_archive(alone.path());
    auto answer = ask(*archive, kRun);
    REQUIRE(answer.packets.size() > 10);
    REQUIRE(answer.interfaces.front() == "s1:tap0");
    REQUIRE(answer.reports.size() == 2);
    REQUIRE(archive->runs(9)->front().principal == "ops@site-a");
  }
}

TEST_CASE("a session goes on where its files end, in the same chunk") {
  TempDir dir;
  for (std::uint64_t round = 0; round < 4; ++round) {
    auto archive = open_archive(dir.path());
    REQUIRE(open_session(*archive, kSession) == round * 10);
    if (round == 0) REQUIRE(archive->append(kSession, configuration(1).report()));
    for (std::uint64_t n = round * 10 + 1; n <= round * 10 + 10; ++n) {
      if (n > 1) REQUIRE(archive->append(kSession, record(kRun, n, kFrame)));
    }
    if (round % 2) {
      sync(*archive);
    } else {
      REQUIRE(archive->close());
      REQUIRE(archive->append(kSession, record(kRun, 99, kFrame)).error().code == Code::not_found);
    }
  }
  REQUIRE(chunk_files(dir.path(), "open").size() == 1);
  auto archive = open_archive(dir.path());
  auto answer = ask(*archive, kRun);
  REQUIRE(answer.sequences() == numbers(2, 40));
  REQUIRE(answer.interfaces == std::vector<std::string>{"s1:tap0"});
}

TEST_CASE("closing a session seals its chunk once no run of it is on; numbers go on after that") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  open_session(*archive, kSession);
  REQUIRE(archive->append(kSession, configuration(1).report()));
  REQUIRE(archive->append(kSession, activation(kRun, 2, "started").report()));
  REQUIRE(archive->close_session(kSession));
  REQUIRE(chunk_files(dir.path(), "sealed").empty());
  REQUIRE(open_session(*archive, kSession) == 2);
  REQUIRE(archive->append(kSession, counts(kRun, 3, true).report()));
  REQUIRE(archive->close_session(kSession));
  REQUIRE(chunk_files(dir.path(), "sealed").size() == 1);
  REQUIRE(chunk_files(dir.path(), "open").empty());
  REQUIRE(open_session(*archive, kSession) == 3);
  REQUIRE(archive->append(kSession, record(kRun, 4, kFrame, 0, 1)));
  auto answer = ask(*archive, kRun);
  REQUIRE(answer.sequences() == numbers(4, 4));
  REQUIRE(answer.interfaces == std::vector<std::string>{"s1:tap1"});
  REQUIRE(answer.reports.size() == 3);
}

TEST_CASE("sessions are synced and told one by one") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  const RunId second = id_of(0x52);
  open_session(*archive, kSession);
  open_session(*archive, second, "s2");
  REQUIRE(archive->append(kSession, record(kRun, 1, kFrame)));
  REQUIRE(archive->append(second, record(kRun, 1, kFrame)));
  REQUIRE(archive->append(second, record(kRun, 2, kFrame)));
  REQUIRE(sync(*archive) == std::map<RunId, std::uint64_t>{{kSession, 1}, {second, 2}});
  REQUIRE(archive->append(kSession, record(kRun, 2, kFrame)));
  REQUIRE(sync(*archive) == std::map<RunId, std::uint64_t>{{kSession, 2}});
  REQUIRE(archive->counters().syncs == 2);
}

TEST_CASE("an archive that is open is refused to a second process, and free once closed") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  archive::Options options;
  options.directory = dir.path();
  REQUIRE(archive::Archive::open(options).error().code == Code::denied);
  REQUIRE(archive->close());
  REQUIRE(archive::Archive::open(options));
}
