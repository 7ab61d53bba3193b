// SPDX-License-Identifier: Apache-2.0
// What takes long is done in turns, and everything else goes on between them.
#include "archive_fixture.h"

using namespace fieldline;
using namespace fieldline::test;

namespace {

const RunId kRun = id_of(0xa1), kOther = id_of(0xa2), kSession = id_of(0x51), kSecond = id_of(0x52);
// As large as a record may be: many bytes in few blocks.
const Bytes kLarge = [] {
  Bytes bytes = frame("10.0.0.1", "10.0.3.2", 40000, 5201);
  bytes.resize(60'000);
  return bytes;
}();

std::size_t turns_of(archive::Archive& archive, const archive::Query& query, std::size_t packets) {
  auto cursor = archive.query(query);
  REQUIRE(cursor);
  AnswerReader reader;
  reader.drain(**cursor);
  REQUIRE(reader.answer.complete);
  REQUIRE(reader.answer.packets.size() == packets);
  return reader.turns;
}

}  // namespace

TEST_CASE("a query that finds nothing reads a bounded amount at a time") {
  TempDir dir;
  auto archive = open_archive(dir.path(), 8 << 20);
  for (const RunId& session : {kSession, kSecond}) {
    open_session(*archive, session, session == kSession ? "s1" : "s2");
    REQUIRE(archive->append(session, activation(kRun, 1, "started").report()));
    for (std::uint64_t n = 2; n <= 401; ++n)
      REQUIRE(archive->append(session, record(kRun, n, kLarge)));
    REQUIRE(archive->append(session, counts(kRun, 402, true).report()));
    sync(*archive);
  }
  archive::Query query;
  query.run = kRun;
  query.flow.emplace().port_a = 9;
  REQUIRE(turns_of(*archive, query, 0) >= 8);  // 48 MB, 4 MiB a turn
  query.follow = true;
  REQUIRE(turns_of(*archive, query, 0) >= 8);
  query.flow.reset();
  query.vantage = "s2";
  REQUIRE(turns_of(*archive, query, 400) == 0);
  query.vantage.reset();
  REQUIRE(turns_of(*archive, query, 800) <= 2);
}

TEST_CASE("a reindex in slices loses and doubles nothing of what is appended meanwhile") {
  TempDir dir;
  auto archive = open_archive(dir.path(), 6 << 20);
  open_session(*archive, kSession, "s1");
  std::uint64_t n = 0, slices = 0;
  REQUIRE(archive->append(kSession, activation(kRun, ++n, "started").report()));
  while (n < 400) REQUIRE(archive->append(kSession, record(kRun, ++n, kLarge)));
  std::optional<nlohmann::json> result;
  for (; !result; ++slices) {
    REQUIRE(slices < 100);
    auto slice = archive->reindex_slice();
    REQUIRE(slice);
    result = *slice;
    if (result) break;
    // Open chunks grow and are sealed, sessions come and go, and the old index answers.
    for (int i = 0; i < 20; ++i) REQUIRE(archive->append(kSession, record(kRun, ++n, kLarge)));
    if (slices == 2) {
      open_session(*archive, kSecond, "s2");
      REQUIRE(archive->append(kSecond, activation(kOther, 1, "started", 5'000).report()));
      REQUIRE(archive->append(kSecond, record(kOther, 2, kLarge)));
    }
    if (slices == 4) {
      REQUIRE(archive->append(kSecond, counts(kOther, 3, true).report()));
      REQUIRE(archive->close_session(kSecond));
    }
    if (slices % 2 == 0) sync(*archive);
    REQUIRE(archive->find(kRun)->value().records == n - 1);
  }
  REQUIRE(slices >= 6);
  REQUIRE(result->at("records") == n);  // n - 1 of the one run, 1 of the other
  REQUIRE(result->at("runs") == 2);
  REQUIRE(result->at("skipped_bytes") == 0);
  REQUIRE(archive->find(kRun)->value().records == n - 1);
  REQUIRE(archive->find(kOther)->value().complete);
  REQUIRE(archive->append(kSession, record(kRun, ++n, kLarge)));
  REQUIRE(archive->append(kSession, counts(kRun, ++n, true).report()));
  REQUIRE(sync(*archive).at(kSession) == n);
  auto answer = ask(*archive, kRun);
  REQUIRE(answer.sequences() == numbers(2, n - 1));
  auto summary = *archive->find(kRun).value();
  REQUIRE(summary.complete);
  REQUIRE(summary.records == n - 2);
  auto again = archive->reindex();
  REQUIRE(again->at("records") == n - 1);
  REQUIRE(archive->find(kRun)->value().records == n - 2);

  // A half-done one does not outlive the archive.
  REQUIRE_FALSE(archive->reindex_slice()->has_value());
  REQUIRE(archive->close());
  REQUIRE(archive->reindex_slice().error().code == Code::closed);
  archive.reset();
  archive = open_archive(dir.path());
  REQUIRE(archive->find(kRun)->value().records == n - 2);
}
