// SPDX-License-Identifier: Apache-2.0
// Who sees what of a run that several principals granted.
#include "archive_fixture.h"

using namespace fieldline;
using namespace fieldline::test;

namespace {

const RunId kRun = id_of(0xa1), kLow = id_of(0x51), kHigh = id_of(0x52);
const Bytes kFrame = frame("10.0.0.1", "10.0.3.2", 40000, 5201);
const std::string kVictim = "victim@site-a", kThief = "thief@site-a", kThird = "third@site-a";

// A whole run of one principal in one session: items `first` to `first` + 9, 7 of them records.
void run_of(archive::Archive& archive, const RunId& session, const RunId& run,
            const std::string& principal, std::uint64_t first, std::uint64_t at_ns) {
  REQUIRE(archive.append(session, activation(run, first, "started", at_ns, principal).report()));
  for (auto n = first + 1; n < first + 8; ++n)
    REQUIRE(archive.append(session, record(run, n, kFrame, at_ns + n)));
  REQUIRE(
      archive.append(session, activation(run, first + 8, "ended", at_ns + 50, principal).report()));
  REQUIRE(archive.append(session, counts(run, first + 9, true, at_ns + 60).report()));
}

Answer ask_as(archive::Archive& archive, const archive::Principal& reader, bool follow = false) {
  archive::Query query;
  query.run = kRun;
  query.reader = reader;
  query.follow = follow;
  return ask(archive, query);
}

}  // namespace

TEST_CASE("a run's id, granted again by another at another sensor, opens and closes nothing") {
  // Sessions are ordered by their ids: the thief's stands before the victim's, then behind it.
  for (auto [mine, his] : {std::pair{kLow, kHigh}, std::pair{kHigh, kLow}}) {
    TempDir dir;
    auto archive = open_archive(dir.path());
    open_session(*archive, mine, "s1");
    open_session(*archive, his, "s2");
    REQUIRE(archive->append(mine, configuration(1).report()));
    REQUIRE(archive->append(his, configuration(1).report()));
    run_of(*archive, mine, kRun, kVictim, 2, 1'000);
    REQUIRE(archive->append(his, activation(kRun, 2, "started", 500, kThief).report()));
    REQUIRE(archive->append(his, record(kRun, 3, kFrame, 600)));
    for (bool reindexed : {false, true}) {
      if (reindexed) REQUIRE(archive->reindex());
      auto own = *archive->find(kRun, kVictim).value();
      REQUIRE(own.principal == kVictim);
      REQUIRE(own.records == 7);
      REQUIRE(own.sensors == std::vector<std::string>{"s1"});
      REQUIRE(own.started_ns == 1'000);
      REQUIRE(own.ended_ns == 1'060);
      REQUIRE(own.complete);
      auto other = *archive->find(kRun, kThief).value();
      REQUIRE(other.principal == kThief);
      REQUIRE(other.records == 1);
      REQUIRE(other.sensors == std::vector<std::string>{"s2"});
      REQUIRE_FALSE(other.complete);
      REQUIRE_FALSE(archive->find(kRun, kThird).value().has_value());
      REQUIRE(archive->find(kRun).value()->records == 8);
      REQUIRE_FALSE(archive->find(kRun).value()->complete);

      auto answer = ask_as(*archive, kVictim);
      REQUIRE(answer.sequences() == numbers(3, 9));
      REQUIRE(answer.reports.size() == 4);
      REQUIRE(answer.complete);
      REQUIRE(ask_as(*archive, kVictim, true).complete);
      answer = ask_as(*archive, kThief);
      REQUIRE(answer.sequences() == numbers(3, 3));
      REQUIRE(answer.reports.size() == 2);
      REQUIRE_FALSE(ask_as(*archive, kThief, true).complete);
      REQUIRE(ask_as(*archive, std::nullopt).packets.size() == 8);
    }
  }
}

TEST_CASE("a run that changes hands within one session is read by each up to his own items") {
  for (bool victim_first : {true, false}) {
    TempDir dir;
    auto archive = open_archive(dir.path(), 1024);
    open_session(*archive, kLow, "s1");
    REQUIRE(archive->append(kLow, configuration(1).report()));
    const std::string &first = victim_first ? kVictim : kThief,
                      &second = victim_first ? kThief : kVictim;
    run_of(*archive, kLow, kRun, first, 2, 1'000);
    archive::Query query;
    query.run = kRun;
    query.reader = first;
    query.follow = true;
    run_of(*archive, kLow, kRun, second, 12, 2'000);
    for (const auto& reader : {first, second}) {
      std::uint64_t from = reader == first ? 2 : 12;
      for (bool follow : {false, true}) {
        auto answer = ask_as(*archive, reader, follow);
        REQUIRE(answer.complete);
        REQUIRE(answer.sequences() == numbers(from + 1, from + 7));
        std::vector<std::uint64_t> reports;
        for (const auto& report : answer.reports) reports.push_back(report.sequence);
        REQUIRE(reports == std::vector<std::uint64_t>{1, from, from + 8, from + 9});
      }
      query = {};
      query.run = kRun;
      query.reader = reader;
      query.reports = false;
      REQUIRE(ask(*archive, query).sequences() == numbers(from + 1, from + 7));
      auto summary = *archive->find(kRun, reader).value();
      REQUIRE(summary.principal == reader);
      REQUIRE(summary.complete);
      REQUIRE(summary.ended_ns == (reader == first ? 1'060 : 2'060));
    }
  }
}

TEST_CASE("whoever was refused sees his refusal, not the run") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  open_session(*archive, kLow, "s1");
  run_of(*archive, kLow, kRun, kVictim, 1, 1'000);
  REQUIRE(archive->append(kLow, activation(kRun, 11, "refused", 1'100, kThief).report()));
  auto answer = ask_as(*archive, kThief);
  REQUIRE(answer.packets.empty());
  REQUIRE(answer.reports.size() == 1);
  REQUIRE(archive->find(kRun, kThief).value()->records == 0);
  REQUIRE(ask_as(*archive, kVictim).reports.size() == 3);
}

TEST_CASE("a followed answer waits for another's run as for one that is not there") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  open_session(*archive, kLow, "s1");
  archive::Query query;
  query.run = kRun;
  query.reader = kThief;
  query.follow = true;
  auto cursor = archive->query(query);
  REQUIRE(cursor);
  AnswerReader reader;
  run_of(*archive, kLow, kRun, kVictim, 1, 1'000);
  reader.drain(**cursor);
  REQUIRE_FALSE(reader.answer.complete);
  REQUIRE(reader.answer.packets.empty());
  REQUIRE(reader.answer.reports.empty());
  query.follow = false;
  auto foreign = archive->query(query).error();
  query.run = id_of(0xa1, 1);
  auto absent = archive->query(query).error();
  REQUIRE(foreign.code == Code::not_found);
  REQUIRE(absent.code == Code::not_found);
  auto text = absent.text();
  text.replace(text.find(query.run.hex()), 32, kRun.hex());
  REQUIRE(foreign.text() == text);
}

TEST_CASE("'last', prefixes and limits know a reader's own runs alone") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  open_session(*archive, kLow, "s1");
  std::uint64_t n = 1;
  for (std::uint8_t i = 0; i < 3; ++i, n += 10)
    run_of(*archive, kLow, id_of(0xb1, i), kVictim, n, 1'000 + 100 * i);
  for (std::uint8_t i = 0; i < 20; ++i, n += 10)
    run_of(*archive, kLow, id_of(0xb2, i), kThird, n, 5'000 + 100 * i);

  REQUIRE(*archive->resolve("last", kVictim) == id_of(0xb1, 2));
  REQUIRE(*archive->resolve("last", kThird) == id_of(0xb2, 19));
  REQUIRE(*archive->resolve("last") == id_of(0xb2, 19));
  REQUIRE(archive->resolve("last", kThief).error().code == Code::not_found);

  REQUIRE(archive->runs(2, kVictim)->size() == 2);
  REQUIRE(archive->runs(2, kVictim)->at(0).run == id_of(0xb1, 2));
  REQUIRE(archive->runs(100, kVictim)->size() == 3);
  REQUIRE(archive->runs(100, kThief)->empty());
  REQUIRE(archive->runs(100)->size() == 23);

  auto ambiguous = archive->resolve("b", kVictim).error();
  REQUIRE(ambiguous.code == Code::invalid);
  REQUIRE(ambiguous.text().find(id_of(0xb1, 0).hex()) != std::string::npos);
  REQUIRE(ambiguous.text().find("b2") == std::string::npos);
  auto foreign = archive->resolve("b2", kVictim).error(), absent = archive->resolve("c2").error();
  REQUIRE(foreign.code == Code::not_found);
  REQUIRE(foreign.text() == std::string(absent.text()).replace(absent.text().find("c2"), 2, "b2"));
}
