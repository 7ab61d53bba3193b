// SPDX-License-Identifier: Apache-2.0
// An index whose n-th write, sync, truncation, deletion, opening or read fails, for every n: the
// chunks go on being written and acknowledged, and nothing that was is missing the next day.
#include "archive_house.h"
#include "test/support/fault_sqlite.h"

using namespace fieldline;
using namespace fieldline::test;

namespace {

constexpr std::size_t kRecords = 30;

// True: everything went well. An archive that does not open is an error that says so.
bool live(House& house) {
  auto opened = archive::Archive::open(house.options());
  if (!opened) {
    REQUIRE_FALSE(opened.error().text().empty());
    return false;
  }
  house.archive = std::move(*opened);
  for (std::uint8_t n = 1; n <= 3; ++n) house.make_run(n, kRecords);  // synced: acknowledged
  bool is_well = house.archive->runs(10).has_value();
  is_well = house.archive->prune({{run_id(1)}, {}, false, kOwner, false}).has_value() && is_well;
  is_well = house.archive->reindex().has_value() && is_well;
  is_well = house.archive->close().has_value() && is_well;
  house.archive.reset();
  return is_well;
}

void check(House& house) {
  house.open();
  const bool is_deleted = house.archive->deletions(9).size() == 1;
  REQUIRE(house.archive->deletions(9).size() <= 1);
  for (std::uint8_t n = is_deleted ? 2 : 1; n <= 3; ++n) {
    auto answer = ask(*house.archive, run_id(n));
    REQUIRE(answer.packets.size() == kRecords);
    REQUIRE(answer.skipped_bytes == 0);
    REQUIRE(house.archive->find(run_id(n)).value()->complete);
  }
  REQUIRE(house.archive->runs(10)->size() == (is_deleted ? 2 : 3));
}

}  // namespace

TEST_CASE("the n-th operation on the index fails: what was acknowledged is found the next day") {
  FaultSqlite faults;
  std::uint64_t operations = 0;
  {
    House house(2'048);
    house.archive.reset();
    faults.fail_at(0, false);
    REQUIRE(live(house));
    operations = faults.count();
    check(house);
  }
  REQUIRE(operations > 40);
  std::size_t struck = 0;
  for (bool stays_dead : {false, true}) {
    // Not each of the later ones: the pages of one transaction differ in nothing.
    const std::uint64_t step = std::max<std::uint64_t>(1, operations / 120);
    for (std::uint64_t n = 1; n <= operations; n += n < 60 ? 1 : step) {
      INFO("operation " << n << (stays_dead ? ", and all later ones" : ""));
      House house(2'048);
      house.archive.reset();
      std::filesystem::remove_all(house.dir.path() + "/index.sqlite");
      faults.fail_at(n, stays_dead);
      const bool is_well = live(house);
      struck += !is_well;
      house.archive.reset();
      faults.fail_at(0, false);
      // A first life that never began has nothing to be found.
      if (!chunk_files(house.dir.path(), "sealed").empty()) check(house);
    }
  }
  REQUIRE(struck > 0);
}

namespace {

// What is said in spite of the fault is the truth.
bool read_back(House& house) {
  auto opened = archive::Archive::open(house.options());
  if (!opened) {
    REQUIRE_FALSE(opened.error().text().empty());
    return false;
  }
  house.archive = std::move(*opened);
  bool is_well = true;
  const auto runs = house.archive->runs(10);
  if (runs) REQUIRE(runs->size() == 3);
  is_well = runs.has_value() && is_well;
  for (std::uint8_t n = 1; n <= 3; ++n) {
    const auto run = house.archive->find(run_id(n));
    if (run) REQUIRE(run->has_value());
    if (run) REQUIRE((*run)->complete);
    is_well = run.has_value() && is_well;
  }
  is_well = house.archive->prune({{run_id(1)}, {}, false, kOwner, false}).has_value() && is_well;
  is_well = house.archive->reindex().has_value() && is_well;
  is_well = house.archive->close().has_value() && is_well;
  house.archive.reset();
  return is_well;
}

}  // namespace

TEST_CASE("the n-th read of the index fails: it is an error, and no run seems to be gone") {
  FaultSqlite faults;
  const auto life = [&](std::uint64_t n, bool stays_dead) {
    House house(2'048);
    for (std::uint8_t run = 1; run <= 3; ++run) house.make_run(run, kRecords);
    REQUIRE(house.archive->close().has_value());
    house.archive.reset();
    faults.fail_at(n, stays_dead, FaultSqlite::Of::reads);
    const bool is_well = read_back(house);
    house.archive.reset();
    const std::uint64_t reads = faults.count();
    faults.fail_at(0, false);
    check(house);
    return std::pair(is_well, reads);
  };
  const auto [is_well, reads] = life(0, false);
  REQUIRE(is_well);
  REQUIRE(reads > 20);
  std::size_t struck = 0;
  const std::uint64_t step = std::max<std::uint64_t>(1, reads / 100);
  for (bool stays_dead : {false, true}) {
    for (std::uint64_t n = 1; n <= reads; n += n < 40 ? 1 : step) {
      INFO("read " << n << (stays_dead ? ", and all later ones" : ""));
      struck += !life(n, stays_dead).first;
    }
  }
  REQUIRE(struck > 0);
}
