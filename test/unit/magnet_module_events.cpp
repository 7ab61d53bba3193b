// SPDX-License-Identifier: Apache-2.0
// What the host role gets of the module's rings: its own time's records, and all of those.
#include <fstream>

#include "magnet/module_events.h"
#include "magnet_files.h"
#include "magnet_rings.h"

namespace fieldline::test {

namespace {

std::vector<magnet_record_ext> take(magnet::ModuleEvents& events) {
  std::vector<magnet_record_ext> all;
  REQUIRE(events
              .drain([&](const magnet::EventSource::Batch& batch) {
                all.insert(all.end(), batch.records.begin(), batch.records.end());
              })
              .has_value());
  return all;
}

}  // namespace

TEST_CASE("module events: records from before the open go to nobody, whoever left them") {
  const std::uint32_t record_size = GENERATE(24u, 64u);
  MemoryDevices devices(2, 4096, record_size);
  for (int i = 0; i < 20; ++i) REQUIRE(devices.ring(0).add(1, MAGNET_TCP_SEND, 5));
  auto source = magnet::ModuleEvents::open(devices);
  REQUIRE(source.has_value());
  CHECK(source->skipped() == 20);
  REQUIRE(devices.ring(0).add(2, MAGNET_TCP_SEND, 6));
  const auto records = take(*source);
  REQUIRE(records.size() == 1);
  CHECK(records[0].head.sockid == 2);
}

TEST_CASE("module events: losses from before the open are told to nobody") {
  const std::uint32_t record_size = GENERATE(24u, 64u);
  MemoryDevices devices(1, 4096, record_size);
  auto& ring = devices.ring(0);
  while (ring.add(1, MAGNET_TCP_SEND, 5)) {
  }
  for (int i = 0; i < 9; ++i) REQUIRE_FALSE(ring.add(1, MAGNET_TCP_SEND, 5));
  {
    auto source = magnet::ModuleEvents::open(devices);
    REQUIRE(source.has_value());
    REQUIRE(ring.add(2, MAGNET_TCP_SEND, 6));  // behind LOST with those 10
    const auto records = take(*source);
    REQUIRE(records.size() == 1);
    CHECK(records[0].head.sockid == 2);
    // What is lost from now on is told, and no more than that.
    while (ring.add(3, MAGNET_TCP_SEND, 5)) {
    }
    REQUIRE_FALSE(ring.add(3, MAGNET_TCP_SEND, 5));
    take(*source);
    REQUIRE(ring.add(4, MAGNET_TCP_SEND, 5));
    const auto after = take(*source);
    REQUIRE(after.size() == 2);
    CHECK(after[0].head.event == MAGNET_LOST);
    CHECK(after[0].head.size == 2);
    if (record_size == 64) {
      CHECK(after[0].ext.lost.first > MemoryRing::kTai - 37 * kNanosPerSecond);
      CHECK(after[0].ext.lost.first <= after[0].head.timestamp);
    }
  }
}

TEST_CASE("module events: a ring left out of step is found again beside any number of others") {
  const unsigned cpus = GENERATE(2u, 3u, 4u);
  MemoryDevices devices(cpus, 4096, 24);
  auto source = magnet::ModuleEvents::open(devices);
  REQUIRE(source.has_value());
  for (unsigned cpu = 0; cpu < cpus; ++cpu) {
    // A timestamp written ahead: the kernel stops there, the reader passes.
    auto* slot = reinterpret_cast<magnet_record*>(devices.ring(cpu).bytes() + 24 * 5);
    slot->timestamp = 1;
    for (int i = 0; i < 100; ++i) (void)devices.ring(cpu).add(1, MAGNET_IP_SEND, 1);
  }
  take(*source);
  for (unsigned cpu = 0; cpu < cpus; ++cpu) REQUIRE(devices.ring(cpu).add(77, MAGNET_IP_SEND, 1));
  std::size_t found = 0;
  for (int i = 0; i < 2000 && found < cpus; ++i) {
    for (const auto& record : take(*source)) found += record.head.sockid == 77 ? 1 : 0;
  }
  CHECK(found == cpus);
}

}  // namespace fieldline::test
