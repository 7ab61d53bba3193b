// SPDX-License-Identifier: Apache-2.0
// daemon/magnet's reader over the module's own ring.
#include "magnet/ring.h"

#include <thread>

#include "magnet/module_events.h"
#include "magnet/ring_set.h"
#include "magnet_files.h"
#include "magnet_rings.h"

namespace fieldline::test {
namespace {

using magnet::Ring;
using magnet::RingSet;

std::vector<magnet_record_ext> drain(Ring& ring) {
  std::vector<std::uint8_t> bytes(ring.slots() * ring.record_size());
  const std::size_t count = ring.copy(bytes);
  std::vector<magnet_record_ext> records(count);
  for (std::size_t i = 0; i < count; ++i)
    std::memcpy(&records[i], bytes.data() + i * ring.record_size(), ring.record_size());
  ring.release(count);
  return records;
}

std::string why_not(MemoryDevices& devices, const Lie& lie) {
  devices.lie = lie;
  auto set = RingSet::open(devices);
  devices.lie = nullptr;
  return set ? "" : set.error().text();
}

}  // namespace

TEST_CASE("reader: SYSINFO first, then the records in their order, across wraps") {
  const std::uint32_t record_size = GENERATE(24u, 64u);
  MemoryDevices devices(1, 4096, record_size);
  auto set = RingSet::open(devices);
  REQUIRE(set.has_value());
  Ring& ring = set->rings()[0];
  CHECK(ring.sysinfo().head.event == MAGNET_SYSINFO);
  CHECK(ring.sysinfo().head.size == static_cast<std::int32_t>(MemoryRing::kKhz));
  std::uint64_t number = 0, read = 0;
  for (int lap = 0; lap < 30; ++lap) {
    for (int i = 0; i < 41; ++i) REQUIRE(devices.ring(0).add(number++, MAGNET_IP_SEND, 100));
    for (const auto& record : drain(ring)) REQUIRE(record.head.sockid == read++);
    REQUIRE(read == number);
  }
}

TEST_CASE("reader: what was copied and not given back is read again by the next one") {
  MemoryDevices devices(1, 4096, 24);
  {
    auto set = RingSet::open(devices);
    for (std::uint64_t i = 0; i < 20; ++i) REQUIRE(devices.ring(0).add(i, MAGNET_IP_SEND, 1));
    std::vector<std::uint8_t> bytes(4096);
    REQUIRE(set->rings()[0].copy(bytes) == 20);
    set->rings()[0].release(7);
  }
  auto set = RingSet::open(devices);
  const auto records = drain(set->rings()[0]);
  REQUIRE(records.size() == 13);
  CHECK(records.front().head.sockid == 7);
}

TEST_CASE("reader: restarts at the oldest record, wherever the ring was left") {
  MemoryDevices devices(1, 4096, 24);
  const std::uint64_t room = devices.ring(0).ring.slots - 1;
  std::uint64_t number = 0, read = 0;
  for (std::uint64_t unread : {std::uint64_t{0}, std::uint64_t{1}, room / 2, room - 1, room}) {
    auto set = RingSet::open(devices);
    REQUIRE(set.has_value());
    for (const auto& record : drain(set->rings()[0])) REQUIRE(record.head.sockid == read++);
    REQUIRE(read == number);
    for (int i = 0; i < 23; ++i) {
      REQUIRE(devices.ring(0).add(number++, MAGNET_IP_SEND, 1));
      drain(set->rings()[0]);
      ++read;
    }
    for (std::uint64_t i = 0; i < unread; ++i)
      REQUIRE(devices.ring(0).add(number++, MAGNET_IP_SEND, 1));
  }
}

TEST_CASE("reader: finds the oldest although records arrive between the question and the look") {
  MemoryDevices devices(1, 4096, 24);
  for (int i = 0; i < 10; ++i) REQUIRE(devices.ring(0).add(1, MAGNET_IP_SEND, 1));
  { auto first = RingSet::open(devices); }
  bool once = true;
  devices.lie = [&](magnet_info&) {
    if (!std::exchange(once, false)) return;
    for (int i = 0; i < 10; ++i) REQUIRE(devices.ring(0).add(2, MAGNET_IP_SEND, 1));
  };
  auto set = RingSet::open(devices);
  const auto records = drain(set->rings()[0]);
  REQUIRE(records.size() == 20);
  for (std::size_t i = 0; i < 20; ++i) CHECK(records[i].head.sockid == (i < 10 ? 1u : 2u));
}

TEST_CASE("reader: geometry that does not fit itself is refused before anything is mapped") {
  MemoryDevices devices(1, 4096, 24);
  const std::pair<const char*, Lie> lies[] = {
      {"ABI 2", [](magnet_info& info) { info.abi = 2; }},
      {"records of 32", [](magnet_info& info) { info.record_size = 32; }},
      {"records of 0", [](magnet_info& info) { info.record_size = 0; }},
      {"slots do not fit", [](magnet_info& info) { info.slots = 171; }},
      {"slots do not fit", [](magnet_info& info) { info.slots = 0xffffffff; }},
      {"slots do not fit", [](magnet_info& info) { info.slots = 2; }},
      {"slots do not fit", [](magnet_info& info) { info.bytes = std::uint64_t{1} << 40; }},
      {"slots do not fit", [](magnet_info& info) { info.bytes = 4095; }},
      {"CPU 3", [](magnet_info& info) { info.cpu = 3; }},
      {"writes next at slot 0", [](magnet_info& info) { info.next_slot = 0; }},
      {"writes next at slot 170", [](magnet_info& info) { info.next_slot = 170; }},
      {"frequency", [](magnet_info& info) { info.cycles_khz = 0; }},
  };
  for (const auto& [expected, lie] : lies) {
    const std::string said = why_not(devices, lie);
    INFO(said);
    CHECK(said.find(expected) != std::string::npos);
  }
  CHECK(why_not(devices, nullptr).empty());
}

TEST_CASE("reader: a device that lies later moves it nowhere outside of the ring") {
  MemoryDevices devices(1, 4096, 24);
  auto set = RingSet::open(devices);
  Ring& ring = set->rings()[0];
  for (std::uint32_t place : {0u, 170u, 0xffffffffu}) {
    devices.lie = [place](magnet_info& info) { info.next_slot = place; };
    for (int i = 0; i < 3; ++i) {
      const auto moved = ring.recover();
      REQUIRE(moved.has_value());
      CHECK_FALSE(*moved);
    }
  }
  devices.lie = nullptr;
  REQUIRE(devices.ring(0).add(5, MAGNET_IP_SEND, 1));
  REQUIRE(drain(ring).size() == 1);
}

TEST_CASE("reader: a ring that a forerunner left out of step is found again") {
  MemoryDevices devices(1, 4096, 24);
  auto set = RingSet::open(devices);
  Ring& ring = set->rings()[0];
  // Somebody with rights wrote a timestamp ahead. The kernel stops there, the reader passes.
  auto* slot = reinterpret_cast<magnet_record*>(devices.ring(0).bytes() + 24 * 5);
  slot->timestamp = 1;
  for (int i = 0; i < 100; ++i) (void)devices.ring(0).add(1, MAGNET_IP_SEND, 1);
  CHECK(drain(ring).size() == 5);  // slots 1 to 4 and the garbage
  for (std::uint64_t i = 0; i < 3; ++i) REQUIRE(devices.ring(0).add(i, MAGNET_IP_SEND, 1));
  CHECK(drain(ring).size() == 3);  // LOST stands in slot 5, behind the reader
  CHECK_FALSE(*ring.recover());
  CHECK(*ring.recover());
  auto found = drain(ring);
  REQUIRE(found.size() == 1);
  CHECK(found[0].head.event == MAGNET_LOST);
  CHECK(found[0].head.size == 96);
  CHECK_FALSE(*ring.recover());
  CHECK(*ring.recover());
  for (std::uint64_t i = 0; i < 400; ++i) {
    REQUIRE(devices.ring(0).add(i, MAGNET_IP_SEND, 1));
    found = drain(ring);
    REQUIRE(found.size() == 1);
    REQUIRE(found[0].head.sockid == i);
  }
}

TEST_CASE("reader: one that waits in the wrong place finds the oldest record") {
  MemoryDevices devices(1, 4096, 24);
  auto set = RingSet::open(devices);
  Ring& ring = set->rings()[0];
  ring.skip(9);
  REQUIRE(devices.ring(0).add(3, MAGNET_IP_SEND, 1));
  CHECK(drain(ring).empty());
  CHECK_FALSE(*ring.recover());
  CHECK(*ring.recover());
  const auto found = drain(ring);
  REQUIRE(found.size() == 1);
  CHECK(found[0].head.sockid == 3);
}

TEST_CASE("reader: all rings of one geometry or none") {
  MemoryDevices devices(3, 8192, 64);
  {
    auto set = RingSet::open(devices);
    REQUIRE(set.has_value());
    CHECK(set->rings().size() == 3);
    auto second = RingSet::open(devices);
    REQUIRE_FALSE(second.has_value());
  }
  devices.lie = [](magnet_info& info) {
    if (info.cpu == 2) info.cycles_khz += 1;
  };
  auto set = RingSet::open(devices);
  REQUIRE_FALSE(set.has_value());
  CHECK(set.error().text().find("another record size or clock") != std::string::npos);
}

TEST_CASE("reader: a writer at full speed in another thread: read + lost = added") {
  const std::uint32_t record_size = GENERATE(24u, 64u);
  MemoryDevices devices(1, 16384, record_size);
  auto set = RingSet::open(devices);
  Ring& ring = set->rings()[0];
  constexpr std::uint64_t kAdded = 2'000'000;
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (std::uint64_t i = 0; i < kAdded; ++i) {
      if (!devices.ring(0).add(i, MAGNET_IP_SEND, 1)) std::this_thread::yield();
    }
    done = true;
  });
  std::uint64_t records = 0, lost = 0, last = 0, wrong = 0, next = 0;
  for (;;) {
    const bool over = done;
    const auto some = drain(ring);
    for (const auto& record : some) {
      wrong += record.head.timestamp < last ? 1 : 0;
      last = record.head.timestamp;
      if (record.head.event == MAGNET_LOST) {
        lost += static_cast<std::uint32_t>(record.head.size);
        continue;
      }
      wrong += record.head.sockid < next ? 1 : 0;
      next = record.head.sockid + 1;
      ++records;
    }
    if (over && some.empty()) break;
  }
  writer.join();
  lost += static_cast<std::uint64_t>(local_read(&devices.ring(0).ring.pending));
  CHECK(wrong == 0);
  CHECK(records + lost == kAdded);
  CHECK(set->totals()->recorded == records);
  CHECK(set->totals()->lost == lost);
}

TEST_CASE("module events: UTC, LOST handed on, SYSINFO not, the extension where there is one") {
  const std::uint32_t record_size = GENERATE(24u, 64u);
  Folder folder;
  MemoryDevices devices(2, 4096, record_size);
  std::ofstream(folder / "state") << "version 1\nhook tcp-send kprobe __tcp_transmit_skb armed "
                                     "missed 3\nhook udp-send kprobe udp_sendmsg absent missed 0\n"
                                     "cpu 0 recorded 10 lost 2 high_water 5 open 1\n"
                                     "cpu 1 recorded 1 lost 0 high_water 5 open 1\n";
  auto source = magnet::ModuleEvents::open(devices, folder / "state");
  REQUIRE(source.has_value());
  CHECK(std::string(source->kind()) == "module");
  CHECK(source->absent() == std::vector<std::string>{"UDP_SEND"});
  const auto sums = source->accounting();
  REQUIRE(sums.has_value());
  CHECK(sums->recorded == 11);
  CHECK(sums->lost == 2);
  CHECK(sums->missed == 3);

  magnet_ext ext{};
  ext.tcp.seq = 99;
  while (devices.ring(0).add(7, MAGNET_TCP_SEND, 5, &ext)) {
  }
  std::size_t records = 0, lost = 0;
  std::uint64_t last = 0;
  auto take = [&](const magnet::EventSource::Batch& batch) {
    CHECK(batch.cpu == 0);
    CHECK(batch.has_extension == (record_size == 64));
    for (const auto& record : batch.records) {
      const std::uint64_t utc = MemoryRing::kTai - 37 * kNanosPerSecond;
      CHECK(record.head.timestamp > utc);
      CHECK(record.head.timestamp >= last);
      last = record.head.timestamp;
      if (record.head.event == MAGNET_LOST) lost += 1;
      if (record.head.event == MAGNET_TCP_SEND) ++records;
      if (record.head.event == MAGNET_TCP_SEND)
        CHECK(record.ext.tcp.seq == (record_size == 64 ? 99u : 0u));
    }
  };
  auto drained = source->drain(take);
  REQUIRE(drained.has_value());
  CHECK(*drained == records);
  CHECK(records == devices.ring(0).ring.slots - 1);
  REQUIRE(devices.ring(0).add(7, MAGNET_TCP_SEND, 5, &ext));
  CHECK(*source->drain(take) == 2);
  CHECK(lost == 1);
  CHECK(*source->drain(take) == 0);
}

}  // namespace fieldline::test
