// SPDX-License-Identifier: Apache-2.0
#include "archive/index.h"

#include "archive_fixture.h"

using namespace fieldline;
using namespace fieldline::test;

namespace {

const RunId kRun = id_of(0xa1), kOther = id_of(0xa2), kSession = id_of(0x51), kSecond = id_of(0x52);
const Bytes kFrame = frame("10.0.0.1", "10.0.3.2", 40000, 5201);

// Two runs over two sessions and several chunks.
void fill(archive::Archive& archive) {
  open_session(archive, kSession, "s1");
  open_session(archive, kSecond, "s2");
  for (const RunId& session : {kSession, kSecond}) {
    REQUIRE(archive.append(session, configuration(1).report()));
    REQUIRE(archive.append(session, activation(kRun, 2, "started", 1'000).report()));
    REQUIRE(archive.append(session, activation(kOther, 3, "started", 5'000).report()));
    for (std::uint64_t n = 4; n <= 120; ++n) {
      REQUIRE(archive.append(session, record(n % 3 ? kRun : kOther, n, kFrame)));
      if (n % 25 == 0) sync(archive);
    }
    REQUIRE(archive.append(session, activation(kRun, 121, "ended", 8'000).report()));
    REQUIRE(archive.append(session, counts(kRun, 122, true, 9'000).report()));
  }
  REQUIRE(archive.append(kSession, counts(kOther, 123, true, 9'500).report()));
  sync(archive);
}

// Every row of the index, as text.
std::vector<std::string> rows(const std::string& directory) {
  auto db = archive::Database::open(directory + "/index.sqlite");
  REQUIRE(db);
  std::vector<std::string> all;
  for (const char* sql :
       {"SELECT 'session',hex(session),producer,name,domain,'','','' FROM sessions ORDER BY 2",
        "SELECT 'chunk',hex(session),number,sealed,bytes,skipped,first_sequence,last_sequence "
        "FROM chunks ORDER BY 2,3",
        "SELECT 'run',hex(run),hex(session),number,records,reports,first_ns||'-'||last_ns,began_ns "
        "FROM run_chunks ORDER BY 2,3,4",
        "SELECT 'report',hex(run),hex(session),number,sequence,type,json,'' FROM reports "
        "ORDER BY 2,3,4,5"}) {
    archive::Statement statement(*db, sql);
    for (;;) {
      auto more = statement.step();
      REQUIRE(more);
      if (!*more) break;
      std::string row;
      for (int column = 0; column < 8; ++column) row += statement.text(column) + "|";
      all.push_back(row);
    }
  }
  return all;
}

}  // namespace

TEST_CASE("an index rebuilt from the chunks equals the one that grew") {
  TempDir dir;
  auto archive = open_archive(dir.path(), 4096);
  fill(*archive);
  auto grown = rows(dir.path());
  REQUIRE(grown.size() > 20);
  auto result = archive->reindex();
  REQUIRE(result);
  REQUIRE(result->at("runs") == 2);
  REQUIRE(result->at("records") == 234);
  REQUIRE(result->at("skipped_bytes") == 0);
  REQUIRE(result->at("chunks") == chunk_files(dir.path(), "sealed").size() + 2);
  REQUIRE(rows(dir.path()) == grown);
  // and the archive goes on with it
  REQUIRE(archive->append(kSession, record(kRun, 124, kFrame)));
  sync(*archive);
  REQUIRE(ask(*archive, kRun).packets.size() == 157);
  grown = rows(dir.path());
  REQUIRE(archive->reindex());
  REQUIRE(rows(dir.path()) == grown);
}

TEST_CASE("an index that is deleted, empty, garbage or of another version is rebuilt") {
  TempDir dir;
  {
    auto archive = open_archive(dir.path(), 4096);
    fill(*archive);
    REQUIRE(archive->close());
  }
  const std::string path = dir.path() + "/index.sqlite";
  const auto good = rows(dir.path());
  const Bytes bytes = slurp(path);
  Bytes damaged = bytes;
  for (std::size_t i = 4096; i < damaged.size(); i += 7) damaged[i] ^= 0x5a;
  Bytes other_version = bytes;
  other_version[63] = 9;
  for (const Bytes& content : {Bytes{}, Bytes(5000, 'x'), damaged, other_version,
                               Bytes(bytes.begin(), bytes.begin() + 5000)}) {
    spit(path, content);
    auto archive = open_archive(dir.path(), 4096);
    REQUIRE(ask(*archive, kRun).packets.size() == 156);
    REQUIRE(archive->close());
    REQUIRE(rows(dir.path()) == good);
  }
  std::filesystem::remove(path);
  auto archive = open_archive(dir.path(), 4096);
  REQUIRE(open_session(*archive, kSession) == 123);
  REQUIRE(archive->close());
  REQUIRE(rows(dir.path()) == good);
}

TEST_CASE("an index that is older than the chunks is brought up to them") {
  TempDir dir;
  Bytes old;
  {
    auto archive = open_archive(dir.path(), 4096);
    open_session(*archive, kSession);
    REQUIRE(archive->append(kSession, record(kRun, 1, kFrame)));
    REQUIRE(archive->close());
    old = slurp(dir.path() + "/index.sqlite");
    archive = open_archive(dir.path(), 4096);
    open_session(*archive, kSession);
    for (std::uint64_t n = 2; n <= 100; ++n) {
      REQUIRE(archive->append(kSession, record(kRun, n, kFrame)));
    }
    REQUIRE(archive->close());
  }
  auto good = rows(dir.path());
  spit(dir.path() + "/index.sqlite", old);
  auto archive = open_archive(dir.path(), 4096);
  REQUIRE(rows(dir.path()) == good);
  REQUIRE(open_session(*archive, kSession) == 100);
  REQUIRE(ask(*archive, kRun).sequences() == numbers(1, 100));
}

TEST_CASE("runs are listed newest first, with what the reports say") {
  TempDir dir;
  auto archive = open_archive(dir.path(), 4096);
  fill(*archive);
  auto runs = archive->runs(10);
  REQUIRE(runs);
  REQUIRE(runs->size() == 2);
  REQUIRE(archive->runs(1)->size() == 1);
  const auto &newest = runs->at(0), &older = runs->at(1);
  REQUIRE(newest.run == kOther);
  REQUIRE(newest.started_ns == 5'000);
  REQUIRE(newest.ended_ns == 0);  // s2 has not said
  REQUIRE_FALSE(newest.complete);
  REQUIRE(older.run == kRun);
  REQUIRE(older.started_ns == 1'000);
  REQUIRE(older.ended_ns == 9'000);
  REQUIRE(older.complete);
  REQUIRE(older.records == 156);
  REQUIRE(older.principal == "ops@site-a");
  REQUIRE(older.grant == nlohmann::json{{"protocol", 6}});
  REQUIRE(older.sensors == std::vector<std::string>{"s1", "s2"});
  REQUIRE(archive->find(kRun)->value().records == 156);
  REQUIRE_FALSE(archive->find(id_of(9))->has_value());

  // Started again: on until it has been counted again.
  REQUIRE(archive->append(kSession, activation(kRun, 124, "started", 9'900).report()));
  REQUIRE_FALSE(archive->find(kRun)->value().complete);
  REQUIRE(archive->find(kRun)->value().ended_ns == 0);
}

TEST_CASE("a run that was only refused has no sensors and is not complete") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  open_session(*archive, kSession);
  REQUIRE(archive->append(kSession, activation(kRun, 1, "refused").report()));
  auto run = archive->find(kRun)->value();
  REQUIRE(run.sensors.empty());
  REQUIRE_FALSE(run.complete);
  REQUIRE(run.principal == "ops@site-a");
}

TEST_CASE("reports that are not what they should be are stored and told, not believed") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  open_session(*archive, kSession);
  std::uint64_t n = 0;
  for (const char* json : {"", "[]", "null", "{", "{\"event\":7,\"at_ns\":\"x\",\"run\":[]}",
                           "{\"event\":\"started\",\"at_ns\":-5,\"principal\":{}}",
                           "{\"principal\":\"\xff\xfe\",\"grant\":1}"}) {
    for (std::uint8_t type : {FL_FRAME_ACTIVATION, FL_FRAME_FINAL_COUNTS, FL_FRAME_CONFIGURATION}) {
      REQUIRE(archive->append(kSession, Document{type, ++n, kRun, json}.report()));
    }
  }
  const std::string deep = "{\"event\":\"started\",\"grant\":" + std::string(500'000, '[') +
                           std::string(500'000, ']') + "}";
  REQUIRE(archive->append(kSession, Document{FL_FRAME_ACTIVATION, ++n, kRun, deep}.report()));
  sync(*archive);
  REQUIRE(archive->runs(5)->size() == 1);
  REQUIRE(ask(*archive, kRun).reports.size() == n);
  REQUIRE(archive->reindex());
  REQUIRE(archive->runs(5)->size() == 1);
}

TEST_CASE("a run is named by 'last' or by a prefix that is its own") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  REQUIRE(archive->resolve("last").error().code == Code::not_found);
  open_session(*archive, kSession);
  REQUIRE(archive->append(kSession, record(kRun, 1, kFrame, 2'000)));
  REQUIRE(archive->append(kSession, record(kOther, 2, kFrame, 9'000)));
  REQUIRE(archive->append(kSession, record(id_of(0xb0), 3, kFrame, 1'000)));
  REQUIRE(*archive->resolve("last") == kOther);
  REQUIRE(*archive->resolve("b") == id_of(0xb0));
  REQUIRE(*archive->resolve("A1") == kRun);
  REQUIRE(*archive->resolve(kRun.hex()) == kRun);
  auto ambiguous = archive->resolve("a");
  REQUIRE(ambiguous.error().code == Code::invalid);
  REQUIRE(ambiguous.error().text().find(kRun.hex()) != std::string::npos);
  REQUIRE(ambiguous.error().text().find(kOther.hex()) != std::string::npos);
  REQUIRE(archive->resolve("c").error().code == Code::not_found);
  for (const char* bad : {"", "xyz", "a%", "'", "last "}) {
    REQUIRE(archive->resolve(bad).error().code == Code::invalid);
  }
  REQUIRE(archive->resolve(std::string(33, 'a')).error().code == Code::invalid);
}
