// SPDX-License-Identifier: Apache-2.0
// Deletions on a disk whose n-th operation fails, for every n: a run is there whole, or it is gone
// and said to be.
#include "archive_house.h"

using namespace fieldline;
using namespace fieldline::test;

namespace {

constexpr std::uint64_t kDay = 86'400 * kNanosPerSecond;
constexpr std::size_t kRecords = 40;
constexpr std::uint8_t kRuns = 4;

void fill(House& house) {
  for (std::uint8_t n = 1; n <= kRuns; ++n) house.make_run(n, kRecords);
  // It shares its chunks with the fourth, is open, and stays.
  house.start_run(kRuns + 1, kRecords);
  house.clock.pass(2 * kDay);
}

// Errors are what a failing disk gives; what they leave is looked at afterwards.
void delete_some(House& house) {
  archive::PruneRequest request{{run_id(1)}, {}, false, kOwner, false};
  (void)house.archive->prune(request);
  house.rules.max_age_ns = kDay;
  house.archive->set_rules(house.rules);
  for (int step = 0; step < 3; ++step) (void)house.archive->tend(true);
}

void check(archive::Archive& archive) {
  std::map<RunId, archive::Deletion> deleted;
  for (const auto& one : archive.deletions(100)) deleted[one.run] = one;
  for (std::uint8_t n = 1; n <= kRuns + 1; ++n) {
    archive::Query query;
    query.run = run_id(n);
    auto cursor = archive.query(query);
    if (deleted.contains(run_id(n))) {
      REQUIRE_FALSE(cursor);
      REQUIRE(cursor.error().text().find("was deleted on") != std::string::npos);
      REQUIRE_FALSE(archive.find(run_id(n)).value().has_value());
      continue;
    }
    REQUIRE(cursor);
    AnswerReader reader;
    reader.drain(**cursor);
    REQUIRE(reader.answer.packets.size() == kRecords);
    REQUIRE(reader.answer.skipped_bytes == 0);
  }
  REQUIRE_FALSE(deleted.contains(run_id(kRuns + 1)));
}

}  // namespace

TEST_CASE("the n-th operation of a deletion fails, once or for good: no run answers half") {
  std::uint64_t operations = 0;
  {
    House house(2'048);
    fill(house);
    house.files.fail_at(0, FaultFiles::After::recovers);
    delete_some(house);
    operations = house.files.count();
    REQUIRE(house.archive->deletions(10).size() == kRuns);
    REQUIRE(house.archive->counters().chunks_deleted > 2);
    check(*house.archive);
  }
  REQUIRE(operations > 15);
  for (auto after : {FaultFiles::After::recovers, FaultFiles::After::stays_dead}) {
    for (std::uint64_t n = 1; n <= operations; ++n) {
      INFO("operation " << n);
      House house(2'048);
      fill(house);
      house.files.fail_at(n, after);
      delete_some(house);
      house.files.fail_at(0, FaultFiles::After::recovers);
      check(*house.archive);
      house.archive.reset();  // as a crash would: nothing is closed
      house.open();
      check(*house.archive);
      REQUIRE(house.archive->reindex());
      check(*house.archive);
      // The next day everything is done.
      house.connect(0);
      house.rules.max_age_ns = kDay;
      house.archive->set_rules(house.rules);
      house.clock.pass(2 * kDay);
      house.tend_all();
      check(*house.archive);
      REQUIRE(house.archive->deletions(10).size() == kRuns);
    }
  }
}

TEST_CASE("a list of deletions with a torn end, lines of others and a line without end is read") {
  House house;
  house.make_run(1, 10);
  house.make_run(2, 10);
  REQUIRE(house.archive->prune({{run_id(1)}, {}, false, kOwner, false}));
  const std::string path = house.dir.path() + "/deletions.jsonl";
  const Bytes good = slurp(path);
  for (const std::string& tail :
       {std::string("{\"schema\":\"fieldline.deletion/1\",\"run\":\"" + run_id(2).hex()),
        std::string(300'000, 'x'), std::string("\0\0\0", 3)}) {
    Bytes bytes = good;
    for (const std::string& line :
         {std::string("not json\n"), std::string("{}\n"), std::string(200'000, '[') + "\n", tail}) {
      append(bytes, view(line));
    }
    house.archive.reset();
    spit(path, bytes);
    house.open();
    REQUIRE(house.archive->deletions(9).size() == 1);
    REQUIRE(ask(*house.archive, run_id(2)).packets.size() == 10);
    house.make_run(3, 10, 3);
    REQUIRE(house.archive->prune({{run_id(3)}, {}, false, kOwner, false}));
    house.reopen();
    REQUIRE(house.archive->deletions(9).size() == 2);
    house.archive.reset();
    spit(path, good);
    house.open();
    std::filesystem::remove(path);
  }
}

namespace {

constexpr std::size_t kKept = 100, kMost = 2 * kKept;

// So many runs, which no chunk knows any more.
void write_deletions(const std::string& path, std::size_t count) {
  std::string lines;
  for (std::size_t n = 0; n < count; ++n) {
    char run[33];
    std::snprintf(run, sizeof run, "%032zx", n + 1);
    lines += std::string(R"({"schema":"fieldline.deletion/1","run":")") + run +
             R"(","principals":["ops@site-a"],"started_ns":1,"ended_ns":2,"records":3,)" +
             R"("deleted_ns":4,"reason":"age","by":""})" + "\n";
  }
  spit(path, Bytes(lines.begin(), lines.end()));
}

}  // namespace

TEST_CASE(
    "a list of deletions is shortened while the archive runs, on a disk whose n-th operation "
    "fails") {
  for (std::uint64_t n = 0, operations = 0; n <= operations; ++n) {
    INFO("operation " << n << " of " << operations);
    House house;
    const std::string path = house.dir.path() + "/deletions.jsonl";
    house.make_run(1, 10);
    house.archive.reset();
    house.deletions_kept = kKept;
    write_deletions(path, kMost);
    house.open();
    house.connect(0);
    REQUIRE(house.archive->prune({{run_id(1)}, {}, false, kOwner, false}));
    const Bytes before = slurp(path);
    house.files.fail_at(n, FaultFiles::After::recovers);
    (void)house.archive->tend(true);
    if (n == 0) operations = house.files.count();
    house.files.fail_at(0, FaultFiles::After::recovers);
    REQUIRE((n > 0 || operations > 4));
    const std::size_t left = house.archive->deletions(2 * kMost).size();
    if (left != kKept) {
      REQUIRE(n > 0);
      REQUIRE(left == kMost + 1);
      REQUIRE(slurp(path) == before);
    }
    house.tend();
    // The newest stayed, on disk as in memory, and more can be noted.
    house.make_run(2, 10);
    REQUIRE(house.archive->prune({{run_id(2)}, {}, false, kOwner, false}));
    house.reopen();
    const auto deletions = house.archive->deletions(2 * kMost);
    REQUIRE(deletions.size() == kKept + 1);
    REQUIRE(deletions[0].run == run_id(2));
    REQUIRE(deletions[1].run == run_id(1));
  }
}
