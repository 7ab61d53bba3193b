// SPDX-License-Identifier: Apache-2.0
// A short life on a disk whose n-th operation fails, for every n: whatever was called safe is there
// once, and what was refused can be offered again.
#include "archive_fixture.h"
#include "test/support/fault_files.h"

using namespace fieldline;
using namespace fieldline::test;

namespace {

const RunId kRun = id_of(0xa1), kSession = id_of(0x51);
const Bytes kFrame = frame("10.0.0.1", "10.0.3.2", 40000, 5201);
constexpr std::uint64_t kItems = 40;
constexpr std::uint64_t kChunkBytes = 2048;

// A producer that offers items in order, goes on behind what is on disk after an error, and gives
// up after `attempts` of them. Gives the highest number that was called safe.
class Producer {
 public:
  Producer(FaultFiles& files, const std::string& directory) {
    options_.directory = directory;
    options_.chunk_bytes = kChunkBytes;
    options_.files = &files;
  }

  std::uint64_t live(int attempts) {
    while (attempts-- > 0 && !finished_) session();
    return safe_;
  }
  bool finished() const { return finished_; }
  int errors() const { return errors_; }

 private:
  void session() {
    auto archive = archive::Archive::open(options_);
    if (!archive) return failed();
    auto resume = (*archive)->open_session(kSession, "SHA256:key", "s1", "site-a");
    if (!resume) return failed();
    if (*resume < safe_) FAIL("resumes at " << *resume << " though " << safe_ << " was safe");
    safe_ = *resume;
    for (std::uint64_t n = *resume + 1; n <= kItems; ++n) {
      if (!store(**archive, n)) return failed();
      if (n % 7 == 0 && !sync(**archive)) return failed();
    }
    if (!sync(**archive) || !(*archive)->close_session(kSession)) return failed();
    finished_ = true;
  }
  Result<void> store(archive::Archive& archive, std::uint64_t n) {
    if (n == 1) return archive.append(kSession, configuration(1).report());
    if (n == 2) return archive.append(kSession, activation(kRun, 2, "started").report());
    if (n == kItems) return archive.append(kSession, counts(kRun, n, true).report());
    return archive.append(kSession, record(kRun, n, kFrame));
  }
  // A second try on the same archive, as the next tick of a server makes it.
  bool sync(archive::Archive& archive) {
    auto note = [this](const RunId&, std::uint64_t sequence) { safe_ = std::max(safe_, sequence); };
    if (archive.sync(note)) return true;
    errors_++;
    return archive.sync(note).has_value();
  }
  void failed() { errors_++; }

  archive::Options options_;
  std::uint64_t safe_ = 0;
  bool finished_ = false;
  int errors_ = 0;
};

void check_whole(const std::string& directory, std::uint64_t items) {
  auto archive = open_archive(directory, kChunkBytes);
  REQUIRE(open_session(*archive, kSession) >= items);
  if (items < 3) return;
  auto answer = ask(*archive, kRun);
  auto got = answer.sequences();
  auto wanted = numbers(3, std::min(items, kItems - 1));
  REQUIRE(got.size() >= wanted.size());
  got.resize(wanted.size());
  REQUIRE(got == wanted);
  REQUIRE(answer.skipped_bytes == 0);
  REQUIRE(answer.interfaces == std::vector<std::string>{"s1:tap0"});
}

}  // namespace

TEST_CASE("the n-th operation fails once: a clean error, and the next attempt completes the life") {
  FaultFiles files(system_files());
  std::uint64_t operations = 0, struck = 0;
  {
    TempDir dir;
    files.fail_at(0, FaultFiles::After::recovers);
    Producer producer(files, dir.path());
    REQUIRE(producer.live(1) == kItems);
    operations = files.count();
    check_whole(dir.path(), kItems);
  }
  REQUIRE(operations > 40);
  for (std::uint64_t n = 1; n <= operations; ++n) {
    INFO("operation " << n);
    TempDir dir;
    files.fail_at(n, FaultFiles::After::recovers);
    Producer producer(files, dir.path());
    REQUIRE(producer.live(3) == kItems);
    REQUIRE(producer.finished());
    struck += producer.errors() > 0;
    check_whole(dir.path(), kItems);
  }
  // A few faults cost nothing (an index that can be opened late, a directory synced after a
  // rename).
  REQUIRE(struck > operations / 2);
}

TEST_CASE("the disk dies at the n-th operation: what was safe is there on the next day") {
  FaultFiles files(system_files());
  for (std::uint64_t n = 1;; ++n) {
    INFO("operation " << n);
    TempDir dir;
    files.fail_at(n, FaultFiles::After::stays_dead);
    Producer producer(files, dir.path());
    std::uint64_t safe = producer.live(2);
    if (producer.finished()) break;
    REQUIRE(producer.errors() > 0);
    files.fail_at(0, FaultFiles::After::recovers);
    check_whole(dir.path(), safe);
    Producer next_day(files, dir.path());
    REQUIRE(next_day.live(1) == kItems);
    REQUIRE(next_day.finished());
    check_whole(dir.path(), kItems);
  }
}

TEST_CASE("after a failed fdatasync the bytes are written again before anything is called safe") {
  FaultFiles files(system_files());
  TempDir dir;
  archive::Options options{dir.path(), 64 << 20, &files};
  auto archive = archive::Archive::open(options);
  REQUIRE(archive);
  open_session(**archive, kSession);
  REQUIRE((*archive)->append(kSession, record(kRun, 1, kFrame)));
  auto file = dir.path() + "/open/" + archive::ChunkName{kSession, 1}.file();
  files.fail_at(2, FaultFiles::After::recovers);  // write, then fdatasync
  bool called = false;
  REQUIRE_FALSE((*archive)->sync([&](const RunId&, std::uint64_t) { called = true; }));
  REQUIRE_FALSE(called);
  REQUIRE((*archive)->counters().write_errors == 1);
  spit(file, Bytes(17, 0));  // the kernel dropped the pages
  REQUIRE((*archive)->append(kSession, record(kRun, 2, kFrame)));
  REQUIRE(sync(**archive)[kSession] == 2);
  archive->reset();
  auto again = open_archive(dir.path());
  REQUIRE(again->counters().torn_bytes_cut == 0);
  REQUIRE(ask(*again, kRun).sequences() == numbers(1, 2));
}
