// SPDX-License-Identifier: Apache-2.0
// Thousands of small runs.
#include <malloc.h>

#include <set>

#include "archive_house.h"

using namespace fieldline;
using namespace fieldline::test;

namespace {

constexpr std::uint64_t kRuns = 5'000;

RunId small(std::uint64_t n) {
  RunId id = id_of(0xb0);
  id.bytes[8] = static_cast<std::uint8_t>(n * 37);  // ids are in no order
  id.bytes[14] = static_cast<std::uint8_t>(n >> 8);
  id.bytes[15] = static_cast<std::uint8_t>(n);
  return id;
}

std::size_t open_files() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& one : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

}  // namespace

TEST_CASE("thousands of small runs: few files, a list by pages, and they go as others do") {
  House house(64 << 20);
  const std::size_t files_before = open_files();
  const RunId session = house.connect(0);
  REQUIRE(house.archive->append(session, configuration(house.next(0)).report()));
  for (std::uint64_t n = 0; n < kRuns; ++n) {
    const std::uint64_t at_ns = house.clock.utc_ns();
    const auto& who = n % 100 == 0 ? "rare@site-a" : kOwner;
    auto started = activation(small(n), house.next(0), "started", at_ns, who);
    REQUIRE(house.archive->append(session, started.report()));
    REQUIRE(house.archive->append(session, record(small(n), house.next(0), kFrame, at_ns)));
    auto final = counts(small(n), house.next(0), true, at_ns + 1);
    REQUIRE(house.archive->append(session, final.report()));
    house.clock.pass(kNanosPerSecond);
    if (n % 500 == 0) sync(*house.archive);
  }
  sync(*house.archive);
  REQUIRE(open_files() <= files_before + 1);
  // A chunk that holds them all could only go with all of them.
  REQUIRE(chunk_files(house.dir.path(), "sealed").size() == kRuns / 1024);

  for (const auto& [reader, wanted] :
       {std::pair{archive::Principal(), kRuns}, {archive::Principal("rare@site-a"), kRuns / 100}}) {
    std::set<RunId> seen;
    std::optional<RunId> before;
    std::uint64_t newest_ns = UINT64_MAX;
    for (;;) {
      const auto page = house.archive->runs(700, reader, before).value();
      if (page.empty()) break;
      for (const auto& run : page) {
        REQUIRE(run.started_ns < newest_ns);
        newest_ns = run.started_ns;
        REQUIRE(seen.insert(run.run).second);
      }
      before = page.back().run;
    }
    REQUIRE(seen.size() == wanted);
  }
  REQUIRE(house.archive->runs(10, archive::Principal("nobody@site-b"))->empty());
  REQUIRE(house.archive->resolve("last").value() == small(kRuns - 1));

  house.reopen();
  REQUIRE(house.archive->runs(10'000)->size() == kRuns);
  house.connect(0);
  house.clock.pass(86'400 * kNanosPerSecond);
  house.rules.max_age_ns = 3600 * kNanosPerSecond;
  house.archive->set_rules(house.rules);
  house.tend_all();
  REQUIRE(house.archive->runs(10'000)->empty());
  REQUIRE(house.archive->counters().chunks_deleted == kRuns / 1024);
  REQUIRE(house.archive->deletions(10'000).size() == kRuns);
}

namespace {

// A run each 360 ms, so that 10,000 are an hour; retention looks once a minute, as the daemon does.
class Hours {
 public:
  Hours() : house_(1 << 20) {
    house_.rules.max_age_ns = 600 * kNanosPerSecond;
    house_.archive->set_rules(house_.rules);
    session_ = house_.connect(0);
    REQUIRE(house_.archive->append(session_, configuration(house_.next(0)).report()));
  }

  void make_runs(std::uint64_t count) {
    for (std::uint64_t n = 0; n < count; ++n) {
      if (n % 166 == 0) house_.tend_all();
      make_run(small(made_++));
      house_.clock.pass(kNanosPerSecond * 3600 / kRunsAnHour);
    }
    house_.clock.pass(2 * house_.rules.max_age_ns);
    house_.tend_all();
  }
  House& house() { return house_; }

  static constexpr std::uint64_t kRunsAnHour = 10'000;

 private:
  void make_run(const RunId& run) {
    archive::Archive& archive = *house_.archive;
    const std::uint64_t at_ns = house_.clock.utc_ns();
    REQUIRE(archive.append(session_,
                           activation(run, house_.next(0), "started", at_ns, kOwner).report()));
    REQUIRE(archive.append(session_, record(run, house_.next(0), kFrame, at_ns)));
    REQUIRE(archive.append(session_, counts(run, house_.next(0), true, at_ns + 1).report()));
    if (made_ % 50 == 0) sync(archive);
  }

  House house_;
  RunId session_;
  std::uint64_t made_ = 0;
};

struct Held {
  std::uint64_t bytes, index_bytes;
  std::size_t chunks, files, memory;
};

Held held_by(Hours& hours) {
  const std::string dir = hours.house().dir.path();
  return {hours.house().bytes(), std::filesystem::file_size(dir + "/index.sqlite"),
          chunk_files(dir, "open").size() + chunk_files(dir, "sealed").size(), open_files(),
          ::mallinfo2().uordblks};
}

}  // namespace

TEST_CASE("an hour of 10,000 runs leaves files, index and memory where they began") {
  Hours hours;
  constexpr std::uint64_t kBefore = 5'000;  // for longer than runs are kept
  hours.make_runs(kBefore);
  const Held first = held_by(hours);
  hours.make_runs(Hours::kRunsAnHour);
  const Held second = held_by(hours);
  REQUIRE(hours.house().archive->runs(10)->empty());
  REQUIRE(hours.house().archive->deletions(100'000).size() == kBefore + Hours::kRunsAnHour);
  // The newest chunk of a sensor stays, and the one that is open.
  CHECK(second.chunks <= 2);
  CHECK(second.bytes < 2 << 20);
  CHECK(second.files == first.files);
  // Pages are not all filled: 25,000 runs more add 72 KiB.
  CHECK(second.index_bytes <= first.index_bytes + (64 << 10));
  // What is remembered of each deleted run, of which there are at most 40,000.
  CHECK(second.memory < first.memory + Hours::kRunsAnHour * 512 + (64 << 10));
}
