// SPDX-License-Identifier: Apache-2.0
// module/ring.c, built in user space, against a plain reader of the mapped slots.
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include <atomic>
#include <deque>
#include <thread>

#include "magnet_rings.h"

namespace fieldline::test {
namespace {

// Reads as proto/magnet.h says, independently of daemon/magnet.
class PlainReader {
 public:
  explicit PlainReader(MemoryRing& ring, std::uint32_t from = 1) : ring_(ring), next_(from) {}

  bool read(magnet_record_ext& into) {
    std::uint8_t* slot = ring_.bytes() + std::size_t{next_} * ring_.ring.record_size;
    auto* timestamp = &reinterpret_cast<magnet_record*>(slot)->timestamp;
    const std::uint64_t when = __atomic_load_n(timestamp, __ATOMIC_ACQUIRE);
    if (when == 0) return false;
    into = {};
    std::memcpy(&into.head.sockid, slot, sizeof into.head.sockid);
    std::memcpy(&into.head.event, slot + 16, ring_.ring.record_size - 16);
    into.head.timestamp = when;
    __atomic_store_n(timestamp, 0, __ATOMIC_RELEASE);
    if (++next_ == ring_.ring.slots) next_ = 1;
    return true;
  }
  std::uint32_t next() const { return next_; }

 private:
  MemoryRing& ring_;
  std::uint32_t next_;
};

// What a reader has seen, and whether it fits itself: numbers of each writer rise, with holes that
// LOST accounts for.
struct Tally {
  std::uint64_t records = 0, lost = 0, marks = 0, back_in_time = 0, torn = 0;
  std::uint64_t last = 0;

  void take(const magnet_record_ext& record) {
    if (record.head.timestamp < last) ++back_in_time;
    last = record.head.timestamp;
    if (record.head.event == MAGNET_LOST) {
      ++marks;
      lost += static_cast<std::uint32_t>(record.head.size);
      return;
    }
    ++records;
    // Each writer puts the same number into all members.
    if (static_cast<std::uint32_t>(record.head.sockid) !=
        static_cast<std::uint32_t>(record.head.size))
      ++torn;
  }
};

std::uint64_t pending(const MemoryRing& ring) {
  return static_cast<std::uint64_t>(local_read(&ring.ring.pending));
}

bool add_number(MemoryRing& ring, std::uint64_t number) {
  return ring.add(number, MAGNET_TCP_SEND, static_cast<std::int32_t>(number));
}

MemoryRing* signal_ring = nullptr;
std::atomic<std::uint64_t> signal_added{0}, signal_lost{0};
std::atomic<std::uint64_t> signal_nested{0};  // came between an outer reserve and its commit
unsigned signal_burst = 1;

// ThreadSanitizer holds a signal back until the thread's next atomic operation or system call.
// Those of the ring are where head, floor, pending and timestamps change, so that nested writers
// come in at each step there as well; between two of them an outer writer does nothing but fill its
// slot.
void on_signal(int) {
  magnet_ring& ring = signal_ring->ring;
  if (READ_ONCE(ring.floor) != static_cast<unsigned long>(local_read(&ring.head)))
    signal_nested.store(signal_nested.load(std::memory_order_relaxed) + 1,
                        std::memory_order_relaxed);
  for (unsigned i = 0; i < signal_burst; ++i) {
    const std::uint64_t number = signal_added.load(std::memory_order_relaxed);
    signal_added.store(number + 1, std::memory_order_relaxed);
    if (!add_number(*signal_ring, number))
      signal_lost.store(signal_lost.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
}

// While it lives, `signal` makes the thread that it comes to a nested writer.
class NestedWriter {
 public:
  NestedWriter(MemoryRing& ring, int signal, unsigned burst) : signal_(signal) {
    signal_ring = &ring;
    signal_burst = burst;
    signal_added = signal_lost = signal_nested = 0;
    struct sigaction action {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    ::sigaction(signal, &action, &before_);
  }
  ~NestedWriter() { ::sigaction(signal_, &before_, nullptr); }

 private:
  int signal_;
  struct sigaction before_ {};
};

}  // namespace

TEST_CASE("ring: records come out as they went in, across the wrap") {
  const std::uint32_t record_size = GENERATE(24u, 64u);
  MemoryRing ring(0, 4096, record_size);
  PlainReader reader(ring);
  std::uint64_t number = 0;
  for (int lap = 0; lap < 50; ++lap) {
    for (int i = 0; i < 7; ++i) REQUIRE(add_number(ring, number + static_cast<unsigned>(i)));
    magnet_record_ext record;
    for (int i = 0; i < 7; ++i, ++number) {
      REQUIRE(reader.read(record));
      CHECK(record.head.sockid == number);
      CHECK(record.head.event == MAGNET_TCP_SEND);
    }
    CHECK_FALSE(reader.read(record));
    CHECK_FALSE(magnet_ring_has_unread(&ring.ring));
  }
  CHECK(magnet_ring_recorded(&ring.ring) == number);
  CHECK(magnet_ring_lost(&ring.ring) == 0);
}

TEST_CASE("ring: slot 0 is never written, and nothing behind the last slot") {
  MemoryRing ring(0, 4096 - 40, 64);
  REQUIRE(ring.ring.slots == 63);
  std::memset(ring.bytes(), 0x55, 64);
  for (int i = 0; i < 200; ++i) (void)add_number(ring, 1);
  for (int i = 0; i < 64; ++i) CHECK(ring.bytes()[i] == 0x55);
  for (std::size_t i = 63 * 64; i < ring.mapped(); ++i) REQUIRE(ring.bytes()[i] == 0);
}

TEST_CASE("ring: full, nothing is overwritten, and the first free slot has the exact count") {
  const std::uint32_t record_size = GENERATE(24u, 64u);
  MemoryRing ring(0, 4096, record_size);
  const std::uint64_t room = ring.ring.slots - 1;
  for (std::uint64_t i = 0; i < room; ++i) REQUIRE(add_number(ring, i));
  CHECK(magnet_ring_has_unread(&ring.ring));
  for (int i = 0; i < 41; ++i) REQUIRE_FALSE(add_number(ring, 1));
  CHECK(magnet_ring_lost(&ring.ring) == 41);
  CHECK(magnet_ring_recorded(&ring.ring) == room);
  CHECK(magnet_ring_high_water(&ring.ring) == room);

  PlainReader reader(ring);
  magnet_record_ext record;
  for (std::uint64_t i = 0; i < room; ++i) {
    REQUIRE(reader.read(record));
    REQUIRE(record.head.sockid == i);
  }
  CHECK_FALSE(reader.read(record));
  const std::uint64_t after = magnet_cycles();
  REQUIRE(add_number(ring, 99));
  REQUIRE(reader.read(record));
  CHECK(record.head.event == MAGNET_LOST);
  CHECK(record.head.size == 41);
  CHECK(record.head.timestamp >= after);
  if (record_size == 64) {
    CHECK(record.ext.lost.first != 0);
    CHECK(record.ext.lost.first < after);
  }
  REQUIRE(reader.read(record));
  CHECK(record.head.sockid == 99);
  CHECK(magnet_ring_recorded(&ring.ring) == room + 1);
}

TEST_CASE("ring: room for the mark alone: the record behind it is the next loss") {
  MemoryRing ring(0, 4096, 64);
  for (std::uint32_t i = 1; i < ring.ring.slots; ++i) REQUIRE(add_number(ring, i));
  for (int i = 0; i < 5; ++i) REQUIRE_FALSE(add_number(ring, 1));
  PlainReader reader(ring);
  magnet_record_ext record;
  REQUIRE(reader.read(record));  // one slot
  CHECK_FALSE(add_number(ring, 2));
  CHECK(magnet_ring_lost(&ring.ring) == 6);
  CHECK(pending(ring) == 1);
  Tally tally;
  while (reader.read(record)) tally.take(record);
  CHECK(tally.lost == 5);
  CHECK(tally.marks == 1);
  REQUIRE(add_number(ring, 3));
  while (reader.read(record)) tally.take(record);
  CHECK(tally.lost == 6);
  CHECK(tally.records + 1 == ring.ring.slots);
}

TEST_CASE("ring: garbage in the mapping loses records, counted, and writes nowhere else") {
  MemoryRing ring(0, 4096, 64);
  std::memset(ring.bytes(), 0xff, ring.mapped());
  for (int i = 0; i < 1000; ++i) CHECK_FALSE(add_number(ring, 1));
  CHECK(magnet_ring_lost(&ring.ring) == 1000);
  CHECK(magnet_ring_recorded(&ring.ring) == 0);
  std::memset(ring.bytes(), 0, ring.mapped());
  REQUIRE(add_number(ring, 7));
  magnet_record_ext record;
  PlainReader reader(ring, 1);
  REQUIRE(reader.read(record));
  CHECK(record.head.event == MAGNET_LOST);
  CHECK(record.head.size == 1000);
}

TEST_CASE("ring: a nested writer that comes round to the outer one's slot does not write there") {
  MemoryRing ring(0, 4096, 64);
  const std::uint64_t room = ring.ring.slots - 1;
  PlainReader reader(ring, 2);
  u64 when = 0;
  magnet_record* outer = magnet_ring_reserve(&ring.ring, &when);
  REQUIRE(outer != nullptr);
  outer->sockid = 4711;
  // Between reserve and commit: a whole lap of nested records, each of which a reader takes away.
  std::uint64_t nested = 0, lost = 0;
  magnet_record_ext record;
  for (std::uint64_t i = 0; i < 3 * room; ++i) {
    if (!add_number(ring, i)) {
      ++lost;
      continue;
    }
    ++nested;
    REQUIRE(reader.read(record));
  }
  CHECK(nested == room - 1);
  CHECK(lost == 2 * room + 1);
  CHECK(outer->sockid == 4711);
  outer->event = MAGNET_UDP_SEND;
  magnet_ring_commit(&ring.ring, outer, when);
  PlainReader late(ring, 1);
  REQUIRE(late.read(record));
  CHECK(record.head.sockid == 4711);
  CHECK(record.head.event == MAGNET_UDP_SEND);
  REQUIRE(add_number(ring, 1));
  CHECK(magnet_ring_lost(&ring.ring) == lost);
  CHECK(magnet_ring_recorded(&ring.ring) == nested + 2);
}

TEST_CASE("ring: the short way is left where anything is out of the ordinary, with nothing done") {
  MemoryRing ring(0, 4096, 24);
  const auto state = [&] {
    return std::vector<unsigned long>{static_cast<unsigned long>(local_read(&ring.ring.head)),
                                      ring.ring.floor, magnet_ring_lost(&ring.ring)};
  };
  const auto refused = [&] {
    const auto before = state();
    const std::vector<std::uint8_t> slots(ring.bytes(), ring.bytes() + ring.mapped());
    const bool put = ring.put(1, MAGNET_TCP_SEND, 1);
    return !put && state() == before && std::equal(slots.begin(), slots.end(), ring.bytes());
  };
  REQUIRE(add_number(ring, 1));
  REQUIRE(ring.put(2, MAGNET_TCP_SEND, 2));

  SECTION("a writer that is nested") {
    u64 when = 0;
    magnet_record* outer = magnet_ring_reserve(&ring.ring, &when);
    REQUIRE(outer != nullptr);
    CHECK(refused());
    REQUIRE(add_number(ring, 4));
    magnet_ring_commit(&ring.ring, outer, when);
    CHECK(ring.put(5, MAGNET_TCP_SEND, 5));
  }
  SECTION("a full ring, and a loss that is not yet marked") {
    while (add_number(ring, 3)) continue;
    CHECK(refused());
    PlainReader reader(ring);
    magnet_record_ext record;
    while (reader.read(record)) continue;
    CHECK(refused());
    REQUIRE(add_number(ring, 4));
    REQUIRE(reader.read(record));
    CHECK(record.head.event == MAGNET_LOST);
    CHECK(ring.put(5, MAGNET_TCP_SEND, 5));
  }
  SECTION("the last slot, behind which the ring begins anew") {
    PlainReader reader(ring);
    magnet_record_ext record;
    while (magnet_ring_next_slot(&ring.ring) != ring.ring.slots - 1) {
      REQUIRE(add_number(ring, 3));
      while (reader.read(record)) continue;
    }
    CHECK(refused());
    REQUIRE(add_number(ring, 4));
    CHECK(magnet_ring_next_slot(&ring.ring) == 1);
  }
}

TEST_CASE("ring: millions of records between two threads: read + lost = added") {
  const std::uint32_t bytes = GENERATE(4096u, 65536u);
  const std::uint32_t record_size = GENERATE(24u, 64u);
  constexpr std::uint64_t kAdded = 1'500'000;
  MemoryRing ring(0, bytes, record_size);
  std::atomic<bool> done{false};
  std::uint64_t refused = 0;
  std::thread writer([&] {
    for (std::uint64_t i = 0; i < kAdded; ++i) {
      if (add_number(ring, i)) continue;
      ++refused;
      std::this_thread::yield();
    }
    done = true;
  });
  PlainReader reader(ring);
  Tally tally;
  magnet_record_ext record;
  for (;;) {
    const bool last = done;
    bool any = false;
    while (reader.read(record)) {
      tally.take(record);
      any = true;
    }
    if (last && !any) break;
    if (!any) std::this_thread::yield();
  }
  writer.join();
  CHECK(tally.torn == 0);
  CHECK(tally.back_in_time == 0);
  INFO(tally.records << " read, " << refused << " lost");
  CHECK(tally.records > ring.ring.slots);
  CHECK(tally.records + refused == kAdded);
  CHECK(tally.lost + pending(ring) == refused);
  CHECK(magnet_ring_lost(&ring.ring) == refused);
  CHECK(magnet_ring_recorded(&ring.ring) == tally.records);
}

// A ring takes longer to be filled than a turn on a shared processor lasts: a turn ends where
// somebody dwells, and not in a full ring, where nobody has a record open.
constexpr std::uint64_t kDwellIn = 16, kFillCycles = 30'000'000;

// Reserves, dwells, and commits: where a signal comes in the midst of a record, it finds one open.
bool add_dwelling(MemoryRing& ring, std::uint64_t number) {
  u64 timestamp = 0;
  magnet_record* record = magnet_ring_reserve(&ring.ring, &timestamp);
  if (record == nullptr) return false;
  const std::uint64_t until = magnet_cycles() + kFillCycles * kDwellIn / ring.ring.slots;
  while (magnet_cycles() < until) continue;
  record->sockid = number;
  record->event = MAGNET_TCP_SEND;
  record->size = static_cast<std::int32_t>(number);
  magnet_ring_commit(&ring.ring, record, timestamp);
  return true;
}

// The writer's thread is interrupted by another thread, which also reads: both nested writers and
// the reader are at every place of the outer writer, and mostly where it dwells. It never gives its
// turn away: where both share a processor it is interrupted where its turn ends.
TEST_CASE("ring: nested writers by signals: recorded + lost = added, exactly") {
  const std::uint32_t bytes = GENERATE(4096u, 262144u);
  const unsigned burst = GENERATE(1u, 5u);
  MemoryRing ring(0, bytes, 24);
  NestedWriter nested(ring, SIGUSR1, burst);
  constexpr std::uint64_t kLeastSignals = 20'000, kLeastNested = 200;
  std::atomic<bool> done{false}, enough{false};
  std::uint64_t added = 0, refused = 0;
  std::thread writer([&] {
    while (!enough) {
      const bool dwells = added % kDwellIn == 0;
      const bool kept = dwells ? add_dwelling(ring, added) : add_number(ring, added);
      ++added;
      refused += kept ? 0 : 1;
    }
    done = true;
  });
  PlainReader reader(ring);
  Tally tally;
  magnet_record_ext record;
  timespec begin{}, now{};
  ::clock_gettime(CLOCK_MONOTONIC, &begin);
  for (std::uint64_t sent = 0;; ++sent) {
    const bool last = done;
    if (!last) ::pthread_kill(writer.native_handle(), SIGUSR1);
    bool any = false;
    while (reader.read(record)) {
      tally.take(record);
      any = true;
    }
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    if (sent >= kLeastSignals && signal_nested >= kLeastNested) enough = true;
    if (now.tv_sec - begin.tv_sec > 20) enough = true;
    if (last && !any) break;
  }
  writer.join();
  while (reader.read(record)) tally.take(record);
  const std::uint64_t all = added + signal_added;
  const std::uint64_t lost = refused + signal_lost;
  INFO(added << " by the thread, " << signal_added << " by signals, " << signal_nested
             << " signals inside, " << lost << " lost");
  CHECK(signal_nested > 0);
  CHECK(tally.torn == 0);
  CHECK(tally.back_in_time == 0);
  CHECK(tally.records + lost == all);
  CHECK(tally.lost + pending(ring) == lost);
  CHECK(magnet_ring_lost(&ring.ring) == lost);
  CHECK(magnet_ring_recorded(&ring.ring) == tally.records);
}

TEST_CASE("ring: nested writers by a timer, while nobody reads") {
  MemoryRing ring(0, 1 << 20, 64);
  NestedWriter nested(ring, SIGALRM, 3);
  itimerval often{{0, 50}, {0, 50}}, before{}, off{};
  REQUIRE(::setitimer(ITIMER_REAL, &often, &before) == 0);
  std::uint64_t added = 0, refused = 0;
  while (refused < 2000 && added < 50'000'000) {
    refused += add_number(ring, added) ? 0 : 1;
    ++added;
  }
  ::setitimer(ITIMER_REAL, &off, nullptr);
  CHECK(signal_added > 0);
  PlainReader reader(ring);
  Tally tally;
  magnet_record_ext record;
  while (reader.read(record)) tally.take(record);
  CHECK(tally.torn == 0);
  CHECK(tally.back_in_time == 0);
  CHECK(tally.records == ring.ring.slots - 1);
  CHECK(tally.marks == 0);
  CHECK(tally.records + refused + signal_lost == added + signal_added);
  CHECK(magnet_ring_lost(&ring.ring) == refused + signal_lost);
}

}  // namespace fieldline::test
