// SPDX-License-Identifier: Apache-2.0
// What is of no run and belongs to each that was on: one copy in the chunk, handed out with every
// run's answer for its own time.
#include "archive_fixture.h"
#include "base/port_totals.h"

using namespace fieldline;
using namespace fieldline::test;

namespace {

const RunId kRun = id_of(0xa1), kOther = id_of(0xb2), kSession = id_of(0x51);
const Bytes kFrame = frame("10.0.0.1", "10.0.3.2", 40000, 5201);

Bytes totals(std::uint64_t begin_ns) {
  TotalsWriter writer(kSession, {0, 1});
  writer.add({begin_ns, 10'000'000}, std::vector<PortTotal>{{10, 640}, {20, 30'000}});
  const ByteView body = writer.end();
  return {body.begin(), body.end()};
}

void append_totals(archive::Archive& archive, std::uint64_t sequence, std::uint64_t begin_ns = 1) {
  const Bytes body = totals(begin_ns);
  REQUIRE(archive.append(
      kSession, pcapng::Report{FL_FRAME_PORT_TOTALS, FL_ENCODING_BINARY, sequence, {}, body}));
}

void append_clock(archive::Archive& archive, std::uint64_t sequence) {
  REQUIRE(archive.append(
      kSession,
      pcapng::Report{FL_FRAME_CLOCK_QUALITY, FL_ENCODING_JSON, sequence, {}, view("{}")}));
}

void append(archive::Archive& archive, const Document& document) {
  REQUIRE(archive.append(kSession, document.report()));
}

std::vector<std::uint64_t> of_no_run(const Answer& answer) {
  std::vector<std::uint64_t> sequences;
  for (const Document& report : answer.reports) {
    if (report.type == FL_FRAME_PORT_TOTALS || report.type == FL_FRAME_CLOCK_QUALITY)
      sequences.push_back(report.sequence);
  }
  return sequences;
}

// Items 4 .. 9 and 12 are totals and clocks; kRun is on from 3 to 8, kOther from 6 to 10.
void fill(archive::Archive& archive) {
  open_session(archive, kSession);
  append(archive, configuration(1));
  append_totals(archive, 2);
  append(archive, activation(kRun, 3, "started"));
  append_totals(archive, 4);
  append_clock(archive, 5);
  append(archive, activation(kOther, 6, "started", 1'000'000'000, "another@site-b"));
  append_totals(archive, 7);
  append(archive, counts(kRun, 8, true));
  append_totals(archive, 9);
  append(archive, counts(kOther, 10, true));
  append_totals(archive, 11);
  append_clock(archive, 12);
  sync(archive);
}

}  // namespace

TEST_CASE("a run's answer holds the totals and clocks of its own time") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  fill(*archive);
  CHECK(of_no_run(ask(*archive, kRun)) == std::vector<std::uint64_t>{4, 5, 7});
  CHECK(of_no_run(ask(*archive, kOther)) == std::vector<std::uint64_t>{7, 9});
  const Answer answer = ask(*archive, kRun);
  const auto first = std::find_if(answer.reports.begin(), answer.reports.end(),
                                  [](const auto& r) { return r.type == FL_FRAME_PORT_TOTALS; });
  REQUIRE(first != answer.reports.end());
  CHECK(first->run.is_zero());
  CHECK(to_hex(view(first->json)) == to_hex(totals(1)));
  archive::Query query;
  query.run = kRun;
  query.reports = false;
  CHECK(ask(*archive, query).reports.empty());
}

TEST_CASE("a reader has the load of the time that was granted to him, and of no other") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  fill(*archive);
  archive::Query query;
  query.run = kRun;
  query.reader = "ops@site-a";
  CHECK(of_no_run(ask(*archive, query)) == std::vector<std::uint64_t>{4, 5, 7});
  // Somebody else signs a grant with that run's id, while it is not on.
  append(*archive, activation(kRun, 13, "started", 3'000'000'000, "another@site-b"));
  append_totals(*archive, 14);
  append(*archive, counts(kRun, 15, true));
  CHECK(of_no_run(ask(*archive, query)) == std::vector<std::uint64_t>{4, 5, 7});
  query.reader = "another@site-b";
  CHECK(of_no_run(ask(*archive, query)) == std::vector<std::uint64_t>{14});
}

TEST_CASE("totals outside the time that is asked for are left out") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  open_session(*archive, kSession);
  append(*archive, configuration(1));
  append(*archive, activation(kRun, 2, "started"));
  for (std::uint64_t i = 0; i < 5; ++i) append_totals(*archive, 3 + i, 1000 + i * 10'000'000);
  archive::Query query;
  query.run = kRun;
  query.from_ns = 1000 + 10'000'000;
  query.to_ns = 1000 + 30'000'000;
  CHECK(of_no_run(ask(*archive, query)) == std::vector<std::uint64_t>{4, 5});
}

TEST_CASE("totals stand once in the chunks, through seals, a restart and a rebuilt index") {
  TempDir dir;
  std::vector<std::uint64_t> expected;
  {
    auto archive = open_archive(dir.path(), 2048);
    open_session(*archive, kSession);
    append(*archive, configuration(1));
    append(*archive, activation(kRun, 2, "started"));
    append(*archive, activation(kOther, 3, "started"));
    for (std::uint64_t sequence = 4; sequence < 60; ++sequence) {
      if (sequence % 3 == 0) {
        REQUIRE(archive->append(kSession, record(kRun, sequence, kFrame)));
      } else {
        append_totals(*archive, sequence);
        expected.push_back(sequence);
      }
    }
    CHECK(sync(*archive).at(kSession) == 59);
    append_totals(*archive, 40);  // sent again
    CHECK(archive->counters().duplicates == 1);
    CHECK(archive->counters().chunks_sealed > 2);
  }
  std::filesystem::remove(dir.path() + "/index.sqlite");
  auto archive = open_archive(dir.path(), 2048);
  CHECK(open_session(*archive, kSession) == 59);
  CHECK(of_no_run(ask(*archive, kRun)) == expected);
  CHECK(of_no_run(ask(*archive, kOther)) == expected);
}
