// SPDX-License-Identifier: Apache-2.0
// An application's session in the archive: whose it is, what it may hold, and that a run is no more
// and no less complete for it.
#include "archive_fixture.h"

#include "base/application_event.h"

using namespace fieldline;
using namespace fieldline::test;

namespace {

const RunId kRun = id_of(0xa1), kOther = id_of(0xa2), kSensor = id_of(0x51), kSession = id_of(0x52),
            kThiefs = id_of(0x53);
const std::string kOps = "ops@site-a", kThief = "thief@site-a";

Bytes event(const std::string& name) {
  ApplicationEvent event;
  event.timestamp_ns = 7;  // what the application's host believes
  event.name = name;
  event.host = "a";
  return encode(event).value();
}

Result<std::uint64_t> open_application(archive::Archive& archive, const RunId& session,
                                       const RunId& run, const std::string& principal,
                                       const std::string& key = "SHA256:run-key") {
  return archive.open_session(session, key, "a", "", archive::Owner{run, principal});
}

Result<void> write(archive::Archive& archive, const RunId& session, const RunId& run,
                   std::uint64_t sequence, const Bytes& body) {
  return archive.append(
      session, pcapng::Report{FL_FRAME_APPLICATION_EVENT, FL_ENCODING_BINARY, sequence, run, body});
}

std::vector<std::string> names(const Answer& answer) {
  std::vector<std::string> all;
  for (const auto& report : answer.reports) {
    if (report.type != FL_FRAME_APPLICATION_EVENT) continue;
    all.emplace_back(parse_application_event(view(report.json)).value().name);
  }
  return all;
}

Answer ask_as(archive::Archive& archive, const archive::Principal& reader) {
  archive::Query query;
  query.run = kRun;
  query.reader = reader;
  return ask(archive, query);
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("application events are their owner's, also after a restart and a rebuilt index") {
  TempDir dir;
  {
    auto archive = open_archive(dir.path(), 4 << 10);  // several chunks
    REQUIRE(open_application(*archive, kSession, kRun, kOps).value() == 0);
    for (std::uint64_t n = 1; n <= 100; ++n)
      REQUIRE(write(*archive, kSession, kRun, n, event("e" + std::to_string(n))));
    CHECK(sync(*archive).at(kSession) == 100);
  }
  auto archive = open_archive(dir.path(), 4 << 10);
  CHECK(chunk_files(dir.path(), "sealed").size() > 1);
  CHECK(open_application(*archive, kSession, kRun, kOps).value() == 100);
  for (bool reindexed : {false, true}) {
    if (reindexed) REQUIRE(archive->reindex());
    const auto mine = names(ask_as(*archive, kOps));
    REQUIRE(mine.size() == 100);
    CHECK(mine.front() == "e1");
    CHECK(mine.back() == "e100");
    CHECK(names(ask_as(*archive, {})).size() == 100);
    archive::Query query;
    query.run = kRun;
    query.reader = kThief;
    CHECK(archive->query(query).error().code == Code::not_found);
    CHECK(archive->runs(10, kThief).value().empty());
    const auto listed = archive->runs(10, kOps).value();
    REQUIRE(listed.size() == 1);
    CHECK(listed[0].application_events == 100);
    CHECK(listed[0].principal == kOps);
    CHECK(listed[0].records == 0);
    CHECK(archive->resolve("last", kOps).value() == kRun);
  }
}

TEST_CASE("ApplicationsWriteIntoOthersRuns: each reads his own part of a run's id") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  open_session(*archive, kSensor);
  REQUIRE(archive->append(kSensor, activation(kRun, 1, "started").report()));
  REQUIRE(open_application(*archive, kSession, kRun, kOps));
  REQUIRE(write(*archive, kSession, kRun, 1, event("mine")));
  REQUIRE(open_application(*archive, kThiefs, kRun, kThief, "SHA256:his"));
  REQUIRE(write(*archive, kThiefs, kRun, 1, event("his")));
  CHECK(names(ask_as(*archive, kOps)) == Names{"mine"});
  CHECK(names(ask_as(*archive, kThief)) == Names{"his"});
  CHECK(ask_as(*archive, kThief).reports.size() == 1);
  CHECK(archive->find(kRun, kThief).value()->application_events == 1);
  CHECK(archive->find(kRun, kOps).value()->application_events == 1);
  CHECK(archive->find(kRun).value()->application_events == 2);
}

TEST_CASE("an application's session holds its events alone, and nobody else's holds them") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  open_session(*archive, kSensor);
  REQUIRE(open_application(*archive, kSession, kRun, kOps));
  auto code = [](const Result<void>& result) { return result.error().code; };
  CHECK(code(write(*archive, kSession, kOther, 1, event("e"))) == Code::denied);
  CHECK(code(archive->append(kSession, activation(kRun, 1, "started").report())) == Code::denied);
  CHECK(code(archive->append(kSession, counts(kRun, 1, true).report())) == Code::denied);
  CHECK(code(archive->append(kSession, configuration(1).report())) == Code::denied);
  const Bytes packet = frame("10.0.0.1", "10.0.3.2", 40000, 5201);
  CHECK(code(archive->append(kSession, record(kRun, 1, packet))) == Code::denied);
  CHECK(code(write(*archive, kSensor, kRun, 1, event("e"))) == Code::denied);
  REQUIRE(write(*archive, kSession, kRun, 1, event("e")));
  CHECK(archive->counters().reports == 1);
}

TEST_CASE("a session goes on for whom it belongs to alone, open or found again") {
  TempDir dir;
  {
    auto archive = open_archive(dir.path());
    REQUIRE(open_application(*archive, kSession, kRun, kOps));
    REQUIRE(write(*archive, kSession, kRun, 1, event("e")));
    sync(*archive);
    CHECK(open_application(*archive, kSession, kOther, kOps).error().code == Code::denied);
    CHECK(open_application(*archive, kSession, kRun, kThief).error().code == Code::denied);
  }
  auto archive = open_archive(dir.path());
  CHECK(open_application(*archive, kSession, kOther, kOps).error().code == Code::denied);
  CHECK(open_application(*archive, kSession, kRun, kThief).error().code == Code::denied);
  auto as_sensor = archive->open_session(kSession, "SHA256:run-key", "a", "");
  CHECK(as_sensor.error().code == Code::denied);
  CHECK(open_application(*archive, kSession, kRun, kOps).value() == 1);
}

TEST_CASE("ApplicationsLeaveRunsIncomplete: they are no part of a run's begin and end") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  open_session(*archive, kSensor);
  REQUIRE(archive->append(kSensor, activation(kRun, 1, "started").report()));
  REQUIRE(open_application(*archive, kSession, kRun, kOps));
  REQUIRE(write(*archive, kSession, kRun, 1, event("e")));
  CHECK_FALSE(archive->find(kRun, kOps).value()->complete);
  REQUIRE(archive->append(kSensor, counts(kRun, 2, true).report()));
  REQUIRE(write(*archive, kSession, kRun, 2, event("late")));
  const auto summary = *archive->find(kRun, kOps).value();
  CHECK(summary.complete);
  CHECK(summary.started_ns == 1'000'000'000);
  CHECK(summary.ended_ns == 2'000'000'000);
  CHECK(summary.sensors == Names{"s1"});
  CHECK(summary.application_events == 2);
  // Whoever follows sees the last of it, and an end.
  archive::Query query;
  query.run = kRun;
  query.reader = kOps;
  query.follow = true;
  auto answer = ask(*archive, query);
  CHECK(answer.complete);
  CHECK(names(answer) == Names{"e", "late"});
  REQUIRE(archive->close_session(kSession));
  CHECK(chunk_files(dir.path(), "sealed").size() == 1);
}

TEST_CASE("ApplicationsHoldOthersRuns: an open session keeps its owner's run alone") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  open_session(*archive, kSensor);
  REQUIRE(archive->append(kSensor, activation(kRun, 1, "started").report()));
  REQUIRE(archive->append(kSensor, counts(kRun, 2, true).report()));
  REQUIRE(open_application(*archive, kThiefs, kRun, kThief, "SHA256:his"));
  REQUIRE(write(*archive, kThiefs, kRun, 1, event("his")));
  REQUIRE(open_application(*archive, kSession, kRun, kOps));
  REQUIRE(write(*archive, kSession, kRun, 1, event("mine")));
  const archive::PruneRequest request{{kRun}, {}, false, kOps, false};
  using Fate = archive::Pruned::Fate;
  CHECK(archive->prune(request).value().at(0).fate == Fate::open);
  REQUIRE(archive->close_session(kSession));
  CHECK(archive->prune(request).value().at(0).fate == Fate::deleted);
}
