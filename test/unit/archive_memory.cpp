// SPDX-License-Identifier: Apache-2.0
// Memory: the n-th allocation that is refused, for every n, and how much a long run takes. The
// program's operator new counts, and refuses when it is told to.
#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <new>

#include "archive_house.h"

namespace {

std::atomic<std::uint64_t> allocations{0}, refused{0};  // refused: the number of the one; 0: none
std::atomic<std::int64_t> held{0};

void* take(std::size_t size) {
  if (++allocations == refused) return nullptr;
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory != nullptr) held += static_cast<std::int64_t>(malloc_usable_size(memory));
  return memory;
}

void give(void* memory) {
  if (memory != nullptr) held -= static_cast<std::int64_t>(malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) {
  if (void* memory = take(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  give(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  give(memory);
}

using namespace fieldline;
using namespace fieldline::test;

namespace {

const RunId kRun = run_id(1), kSession = session_id(1);
constexpr std::uint64_t kItems = 30;

// As a daemon does: an error sends the producer away, who comes back and goes on behind what is on
// disk. No Catch in here: it allocates.
struct Life {
  archive::Archive& archive;
  std::atomic<std::uint64_t>& safe;
  int errors = 0;

  bool session() {
    auto resume = archive.open_session(kSession, "SHA256:key", "s1", "site-a");
    if (!resume || *resume < safe) return false;
    safe = *resume;
    for (std::uint64_t n = *resume + 1; n <= kItems; ++n) {
      if (!store(n)) return false;
      if (n % 7 == 0 && !sync()) return false;
    }
    return sync() && archive.tend(true).has_value();
  }
  bool store(std::uint64_t n) {
    if (n == 1) return archive.append(kSession, configuration_.report()).has_value();
    if (n == 2) return archive.append(kSession, started_.report()).has_value();
    if (n == kItems) return archive.append(kSession, counts_.report()).has_value();
    return archive.append(kSession, record(kRun, n, kFrame)).has_value();
  }
  bool sync() {
    auto note = [this](const RunId&, std::uint64_t n) { safe = std::max(safe.load(), n); };
    return archive.sync(note).has_value();
  }
  void live() {
    for (int attempt = 0; attempt < 3; ++attempt) {
      if (session()) return;
      errors++;
      (void)archive.close_session(kSession);
    }
  }

  const Document configuration_ = configuration(1), started_ = activation(kRun, 2, "started"),
                 counts_ = counts(kRun, kItems, true);
};

void check(archive::Archive& archive) {
  auto answer = ask(archive, kRun);
  REQUIRE(answer.sequences() == numbers(3, kItems - 1));
  REQUIRE(answer.skipped_bytes == 0);
  REQUIRE(answer.interfaces == std::vector<std::string>{"s1:tap0"});
  REQUIRE(archive.find(kRun).value()->complete);
}

// What writing so many records, and reading them, takes at most.
struct Peaks {
  std::int64_t writing = 0, reading = 0;
};
Peaks peaks_of(std::uint64_t records) {
  House house(1 << 20);
  house.start_run(1, 0);
  Peaks peaks;
  std::int64_t before = held;
  for (std::uint64_t i = 0; i < records; ++i) {
    REQUIRE(house.archive->append(session_id(0), record(kRun, house.next(0), kFrame)));
    if (i % 1000 == 0) {
      sync(*house.archive);
      peaks.writing = std::max(peaks.writing, held - before);
    }
  }
  house.end_run(1);
  archive::Query query;
  query.run = kRun;
  before = held;
  auto cursor = house.archive->query(query);
  REQUIRE(cursor);
  for (;;) {
    auto piece = (*cursor)->next();
    REQUIRE(piece);
    peaks.reading = std::max(peaks.reading, held - before);
    if (!*piece) break;
  }
  REQUIRE((*cursor)->records() == records);
  REQUIRE(house.archive->find(kRun).value()->records == records);
  return peaks;
}

// What the child got done, seen by the parent whatever became of the child.
struct Shared {
  std::atomic<std::uint64_t> safe{0}, allocations{0};
};

// A life in a process of its own, whose n-th allocation is refused. nlohmann::json's destructor
// allocates, and so ends the process when it may not: then it is a crash, and what was safe is
// there.
int live_apart(House& house, std::uint64_t n, Shared& shared) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child != 0) {
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return status;
  }
  ::signal(SIGABRT, SIG_DFL);
  if (std::freopen("/dev/null", "w", stderr) == nullptr) ::_exit(2);
  Life life{*house.archive, shared.safe};
  const std::uint64_t before = allocations;
  refused = n == 0 ? 0 : before + n;
  life.live();
  refused = 0;
  shared.allocations = allocations - before;
  ::_exit(life.errors > 0 ? 1 : 0);
}

}  // namespace

TEST_CASE("the n-th allocation is refused: what was safe is there once, and the rest can follow") {
  void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(page != MAP_FAILED);
  auto& shared = *new (page) Shared();
  std::uint64_t count = 1, errors = 0, crashes = 0;
  // A step, so that each kind of allocation is met in a bounded time.
  for (std::uint64_t n = 0; n <= count; n += n < 150 ? 1 : 5) {
    INFO("allocation " << n);
    House house(1'024);
    shared.safe = 0;
    const int status = live_apart(house, n, shared);
    if (n == 0) count = shared.allocations;
    errors += WIFEXITED(status) && WEXITSTATUS(status) == 1;
    crashes += WIFSIGNALED(status);
    // Sent away and come back, a producer is through.
    if (WIFEXITED(status)) REQUIRE(shared.safe == kItems);
    house.archive.reset();
    house.open();
    Life life{*house.archive, shared.safe};
    life.live();
    REQUIRE(life.errors == 0);
    REQUIRE(shared.safe == kItems);
    check(*house.archive);
  }
  ::munmap(page, 4096);
  REQUIRE(count > 500);
  REQUIRE(errors > 100);
  REQUIRE(crashes < errors);
}

TEST_CASE("a run that is four times as long takes no more memory to write and to read") {
  const Peaks one = peaks_of(20'000), four = peaks_of(80'000);
  // Rows of 12 further chunks, in the answer's list, are the difference.
  REQUIRE(four.writing < one.writing + (1 << 20));
  REQUIRE(four.reading < one.reading + (1 << 20));
}

// By hand: test_unit_archive '[long]'; 2.6 GB in /dev/shm or /tmp.
TEST_CASE("a run of 20 million records", "[.][long]") {
  const Peaks one = peaks_of(20'000), all = peaks_of(20'000'000);
  WARN("writing " << all.writing << " (20,000: " << one.writing << "), reading " << all.reading
                  << " (" << one.reading << ") bytes");
  REQUIRE(all.writing < one.writing + (8 << 20));
  REQUIRE(all.reading < one.reading + (8 << 20));
}
