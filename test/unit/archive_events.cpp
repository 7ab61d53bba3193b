// SPDX-License-Identifier: Apache-2.0
// A host's event records in the archive: binary reports, kept as they came, for those who may see
// the run.
#include "archive_fixture.h"

#include "base/event.h"

using namespace fieldline;
using namespace fieldline::test;

namespace {

const RunId kRun = id_of(0xa1), kSession = id_of(0x51);

Bytes events(std::uint32_t count) {
  EventBodyWriter writer(FL_EVENT_EBPF, sizeof(magnet_record_ext), 0, kSession);
  for (std::uint32_t i = 0; i < count; ++i) {
    magnet_record_ext record{};
    record.head = {7, 1'000'000'000 + i, MAGNET_SOCK_SEND, static_cast<std::int32_t>(i)};
    writer.add(view_of(record));
  }
  ByteView body = writer.end();
  return Bytes(body.begin(), body.end());
}

pcapng::Report report(std::uint64_t sequence, const Bytes& body) {
  return {FL_FRAME_EVENT_RECORDS, FL_ENCODING_BINARY, sequence, kRun, body};
}

std::size_t batches(const Answer& answer, const Bytes& wanted) {
  return static_cast<std::size_t>(
      std::count_if(answer.reports.begin(), answer.reports.end(), [&](const Document& one) {
        return one.type == FL_FRAME_EVENT_RECORDS && view(one.json).size() == wanted.size() &&
               std::equal(wanted.begin(), wanted.end(), view(one.json).begin());
      }));
}

Answer ask_for(archive::Archive& archive, const std::string& reader, bool with_events = true,
               bool with_packets = true) {
  archive::Query query;
  query.run = kRun;
  query.reader = reader;
  query.events = with_events;
  query.packets = with_packets;
  return ask(archive, query);
}

}  // namespace

TEST_CASE("event records come out as they went in, also after a restart and a rebuilt index") {
  TempDir dir;
  const Bytes body = events(500);
  const Bytes packet = frame("10.0.0.1", "10.0.3.2", 40000, 5201);
  {
    auto archive = open_archive(dir.path(), 64 << 10);  // several chunks
    open_session(*archive, kSession, "a");
    REQUIRE(archive->append(kSession, configuration(1).report()));
    REQUIRE(archive->append(kSession, activation(kRun, 2, "started").report()));
    REQUIRE(archive->append(kSession, record(kRun, 3, packet)));
    for (std::uint64_t n = 4; n < 14; ++n) REQUIRE(archive->append(kSession, report(n, body)));
    auto final = nlohmann::json::parse(counts(kRun, 14, true).json);
    final["events"] = {{"recorded", 5000}};
    const Document counted{FL_FRAME_FINAL_COUNTS, 14, kRun, final.dump()};
    REQUIRE(archive->append(kSession, counted.report()));
    CHECK(sync(*archive).at(kSession) == 14);
    CHECK(archive->counters().reports == 13);
  }
  auto archive = open_archive(dir.path());
  for (bool reindexed : {false, true}) {
    if (reindexed) REQUIRE(archive->reindex());
    auto answer = ask_for(*archive, "ops@site-a");
    CHECK(batches(answer, body) == 10);
    CHECK(answer.packets.size() == 1);
    auto summary = *archive->find(kRun).value();
    CHECK(summary.records == 1);  // packets
    CHECK(summary.events == 5000);
    CHECK(summary.complete);
  }
  CHECK(batches(ask_for(*archive, "ops@site-a", false), body) == 0);
  auto alone = ask_for(*archive, "ops@site-a", true, false);
  CHECK(batches(alone, body) == 10);
  CHECK(alone.packets.empty());
}

TEST_CASE("whoever may not see a run sees none of its event records") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  open_session(*archive, kSession, "a");
  const Bytes body = events(3);
  REQUIRE(archive->append(kSession, activation(kRun, 1, "started").report()));
  REQUIRE(archive->append(kSession, report(2, body)));
  REQUIRE(
      archive->append(kSession, activation(kRun, 3, "started", 2'000, "thief@site-a").report()));
  CHECK(batches(ask_for(*archive, "ops@site-a"), body) == 1);
  CHECK(batches(ask_for(*archive, "thief@site-a"), body) == 0);
}

TEST_CASE("EventRecordsOfNoRunShownToEverybody: in a chunk that holds such, they are nobody's") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  open_session(*archive, kSession, "a");
  const Bytes body = events(3);
  auto nobodys = [&](std::uint64_t sequence) {
    return pcapng::Report{FL_FRAME_EVENT_RECORDS, FL_ENCODING_BINARY, sequence, RunId{}, body};
  };
  REQUIRE(archive->append(kSession, nobodys(1)));
  REQUIRE(archive->append(kSession, activation(kRun, 2, "started").report()));
  REQUIRE(archive->append(kSession, nobodys(3)));
  CHECK(batches(ask_for(*archive, "ops@site-a"), body) == 0);
  REQUIRE(archive->append(kSession, report(4, body)));
  CHECK(batches(ask_for(*archive, "ops@site-a"), body) == 1);
}

TEST_CASE("EventRecordsThatLookLikeJsonAreNoReport: bytes of others never end a run") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  open_session(*archive, kSession, "a");
  REQUIRE(archive->append(kSession, activation(kRun, 1, "started").report()));
  const std::string forged = counts(kRun, 2, true).json;
  REQUIRE(archive->append(kSession, report(2, Bytes(forged.begin(), forged.end()))));
  auto summary = *archive->find(kRun).value();
  CHECK_FALSE(summary.complete);
  CHECK(summary.ended_ns == 0);
}
