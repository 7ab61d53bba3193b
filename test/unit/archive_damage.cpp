// SPDX-License-Identifier: Apache-2.0
// Chunks after something happened to them; each test is named after the damage.
#include "archive_fixture.h"

using namespace fieldline;
using namespace fieldline::test;

namespace {

const RunId kRun = id_of(0xa1), kSession = id_of(0x51);
const Bytes kFrame = frame("10.0.0.1", "10.0.3.2", 40000, 5201);

// An archive with items 1 .. count in its open chunk (1: configuration, 2: activation).
void fill(const std::string& directory, std::uint64_t count, bool seal = false) {
  auto archive = open_archive(directory);
  open_session(*archive, kSession);
  REQUIRE(archive->append(kSession, configuration(1).report()));
  if (count >= 2) REQUIRE(archive->append(kSession, activation(kRun, 2, "started").report()));
  for (std::uint64_t n = 3; n <= count; ++n) {
    REQUIRE(archive->append(kSession, record(kRun, n, kFrame)));
  }
  if (seal) {
    REQUIRE(archive->append(kSession, counts(kRun, count + 1, true).report()));
    REQUIRE(archive->close_session(kSession));
  }
  REQUIRE(archive->close());
}

// Ends of the blocks of a chunk.
std::vector<std::uint64_t> block_ends(const Bytes& bytes) {
  pcapng::Reader reader;
  reader.feed(bytes);
  std::vector<std::uint64_t> ends;
  for (;;) {
    auto block = reader.next();
    if (!block || !*block) return ends;
    ends.push_back(reader.offset());
  }
}

}  // namespace

TEST_CASE("TruncatedTrailingBlockIsCut") {
  TempDir dir;
  fill(dir.path(), 10);
  auto file = chunk_files(dir.path(), "open").front();
  Bytes bytes = slurp(file);
  auto ends = block_ends(bytes);
  bytes.resize(bytes.size() - 5);
  spit(file, bytes);
  auto archive = open_archive(dir.path());
  REQUIRE(archive->counters().torn_bytes_cut == bytes.size() - ends[ends.size() - 2]);
  REQUIRE(open_session(*archive, kSession) == 9);
  REQUIRE(archive->append(kSession, record(kRun, 10, kFrame)));
  auto answer = ask(*archive, kRun);
  REQUIRE(answer.sequences() == numbers(3, 10));
  REQUIRE(answer.skipped_bytes == 0);
}

TEST_CASE("EveryPrefixOfAChunkReopens") {
  TempDir whole;
  fill(whole.path(), 5);
  const Bytes bytes = slurp(chunk_files(whole.path(), "open").front());
  const auto name = std::filesystem::path(chunk_files(whole.path(), "open").front()).filename();
  const auto ends = block_ends(bytes);
  for (std::size_t length = 0; length <= bytes.size(); ++length) {
    TempDir dir;
    std::filesystem::create_directories(dir.path() + "/open");
    spit(dir.path() + "/open/" + name.string(), ByteView(bytes).first(length));
    auto archive = open_archive(dir.path());
    auto kept = std::upper_bound(ends.begin(), ends.end(), length) - ends.begin();
    // section, configuration, activation, interface, then records 3 ..
    const std::uint64_t expected[] = {0, 0, 1, 2, 2, 3, 4, 5};
    INFO(length);
    REQUIRE(open_session(*archive, kSession) == expected[kept]);
    for (std::uint64_t n = expected[kept] + 1; n <= 5; ++n) {
      if (n == 1) REQUIRE(archive->append(kSession, configuration(1).report()));
      if (n == 2) REQUIRE(archive->append(kSession, activation(kRun, 2, "started").report()));
      if (n > 2) REQUIRE(archive->append(kSession, record(kRun, n, kFrame)));
    }
    auto answer = ask(*archive, kRun);
    REQUIRE(answer.sequences() == numbers(3, 5));
    REQUIRE(answer.reports.size() == 2);
    REQUIRE(answer.interfaces == std::vector<std::string>{"s1:tap0"});
    REQUIRE(answer.skipped_bytes == 0);
  }
}

TEST_CASE("ZeroesBehindTheLastBlockAreCut") {
  TempDir dir;
  fill(dir.path(), 10);
  auto file = chunk_files(dir.path(), "open").front();
  Bytes bytes = slurp(file);
  bytes.resize(bytes.size() + 4096);
  spit(file, bytes);
  auto archive = open_archive(dir.path());
  REQUIRE(archive->counters().torn_bytes_cut == 4096);
  REQUIRE(open_session(*archive, kSession) == 10);
  REQUIRE(ask(*archive, kRun).sequences() == numbers(3, 10));
}

TEST_CASE("BitFlipInMiddleIsSkippedAndCounted") {
  TempDir dir;
  fill(dir.path(), 50, true);
  auto file = chunk_files(dir.path(), "sealed").front();
  Bytes bytes = slurp(file);
  auto ends = block_ends(bytes);
  bytes[ends[20] + 4] ^= 0x10;  // the length of the block with item 20
  spit(file, bytes);
  auto archive = open_archive(dir.path());
  auto answer = ask(*archive, kRun);
  REQUIRE(answer.packets.size() == 47);
  REQUIRE(answer.skipped_bytes == ends[21] - ends[20]);
  REQUIRE(answer.reports.size() == 3);
  auto result = archive->reindex();
  REQUIRE(result->at("skipped_bytes") == ends[21] - ends[20]);
  REQUIRE(result->at("records") == 47);
}

TEST_CASE("EverySingleBitFlipInASealedChunkLeavesTheRestReadable") {
  TempDir dir;
  fill(dir.path(), 12, true);
  auto file = chunk_files(dir.path(), "sealed").front();
  const Bytes good = slurp(file);
  auto archive = open_archive(dir.path());
  for (std::size_t bit = 0; bit < good.size() * 8; bit += 5) {
    Bytes bytes = good;
    bytes[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    spit(file, bytes);
    archive::Query query;
    query.run = kRun;
    auto cursor = archive->query(query);
    REQUIRE(cursor);
    for (;;) {
      auto piece = (*cursor)->next();
      REQUIRE(piece);
      if (!*piece) break;
    }
    if ((*cursor)->records() > 10) FAIL("bit " << bit);
  }
}

TEST_CASE("DamageInTheMiddleOfAnOpenChunkLosesNothingBehindIt") {
  TempDir dir;
  fill(dir.path(), 30);
  auto file = chunk_files(dir.path(), "open").front();
  Bytes bytes = slurp(file);
  auto ends = block_ends(bytes);
  bytes[ends[10] + 4] ^= 0x10;
  spit(file, bytes);
  auto archive = open_archive(dir.path());
  REQUIRE(archive->counters().torn_bytes_cut == 0);
  REQUIRE(chunk_files(dir.path(), "open").empty());  // set aside as it is
  REQUIRE(open_session(*archive, kSession) == 30);
  REQUIRE(archive->append(kSession, record(kRun, 31, kFrame)));
  auto answer = ask(*archive, kRun);
  REQUIRE(answer.packets.size() == 28);
  REQUIRE(answer.skipped_bytes == ends[11] - ends[10]);
}

TEST_CASE("ABlockInsideATornPacketDoesNotMoveTheResumeNumber") {
  TempDir dir;
  Bytes hostile;
  pcapng::Packet fake;
  fake.sequence = UINT64_MAX;
  fake.data = kFrame;
  pcapng::write(hostile, fake);
  {
    auto archive = open_archive(dir.path());
    open_session(*archive, kSession);
    REQUIRE(archive->append(kSession, record(kRun, 1, kFrame)));
    sync(*archive);
    REQUIRE(archive->append(kSession, record(kRun, 2, hostile)));
    REQUIRE(archive->query(archive::Query{kRun, {}, {}, {}, {}, true, false}));  // flushes
  }
  auto file = chunk_files(dir.path(), "open").front();
  Bytes bytes = slurp(file);
  bytes.resize(bytes.size() - 8);
  spit(file, bytes);
  auto archive = open_archive(dir.path());
  REQUIRE(open_session(*archive, kSession) == 1);
  REQUIRE(archive->append(kSession, record(kRun, 2, kFrame)));
}

TEST_CASE("AChunkWithoutItsHeadIsSteppedOver") {
  TempDir dir;
  {
    auto archive = open_archive(dir.path(), 4096);
    open_session(*archive, kSession);
    REQUIRE(archive->append(kSession, configuration(1).report()));
    for (std::uint64_t n = 2; n <= 200; ++n) {
      REQUIRE(archive->append(kSession, record(kRun, n, kFrame)));
    }
    sync(*archive);
  }
  auto file = chunk_files(dir.path(), "sealed")[1];
  Bytes bytes = slurp(file);
  std::fill_n(bytes.begin(), 16, std::uint8_t{0xee});
  spit(file, bytes);
  auto archive = open_archive(dir.path());
  auto answer = ask(*archive, kRun);
  REQUIRE(answer.packets.size() > 100);
  REQUIRE(answer.packets.size() < 199);
  REQUIRE(answer.skipped_bytes == bytes.size());
  REQUIRE(open_session(*archive, kSession) == 200);
}

TEST_CASE("AChunkThatIsGoneIsCountedAndForgottenAtTheNextStart") {
  TempDir dir;
  fill(dir.path(), 20, true);
  auto archive = open_archive(dir.path());
  auto file = chunk_files(dir.path(), "sealed").front();
  auto size = std::filesystem::file_size(file);
  std::filesystem::remove(file);
  auto answer = ask(*archive, kRun);
  REQUIRE(answer.packets.empty());
  REQUIRE(answer.skipped_bytes == size);
  REQUIRE(archive->close());
  archive = open_archive(dir.path());
  REQUIRE(archive->runs(10)->empty());
}

TEST_CASE("FilesThatAreNoChunksAreLeftAlone") {
  TempDir dir;
  fill(dir.path(), 5);
  spit(dir.path() + "/open/notes.txt", view("hello"));
  spit(dir.path() + "/sealed/" + kSession.hex() + "-1.pcapng", view("hello"));
  auto archive = open_archive(dir.path());
  REQUIRE(ask(*archive, kRun).packets.size() == 3);
  REQUIRE(slurp(dir.path() + "/open/notes.txt").size() == 5);
}

TEST_CASE("ARenameThatWasForgottenIsMadeGood") {
  TempDir dir;
  {
    auto archive = open_archive(dir.path(), 4096);
    open_session(*archive, kSession);
    for (std::uint64_t n = 1; n <= 80; ++n) {
      REQUIRE(archive->append(kSession, record(kRun, n, kFrame)));
    }
    sync(*archive);
  }
  auto sealed = chunk_files(dir.path(), "sealed");
  REQUIRE(sealed.size() >= 2);
  std::filesystem::rename(
      sealed.back(),
      dir.path() + "/open/" + std::filesystem::path(sealed.back()).filename().string());
  auto archive = open_archive(dir.path());
  REQUIRE(chunk_files(dir.path(), "sealed") == sealed);
  REQUIRE(open_session(*archive, kSession) == 80);
  REQUIRE(ask(*archive, kRun).sequences() == numbers(1, 80));
}
