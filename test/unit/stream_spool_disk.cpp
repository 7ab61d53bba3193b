// SPDX-License-Identifier: Apache-2.0
// A spool that overflows to disk: order, bounds, and what a later process makes of the files.
#include <random>

#include "stream_spools.h"

namespace fieldline::stream {
namespace {

TEST_CASE("nothing is written to disk while the archive keeps up") {
  SpoolLab lab;
  lab.open();
  const std::uint64_t before = lab.files.count();
  for (int i = 0; i < 5000; ++i) {
    REQUIRE(lab.offer(3));
    lab.deliver();
  }
  CHECK(lab.files.count() == before);
  CHECK(lab.spool->disk()->written() == 0);
}

TEST_CASE("a spool that overflows gives every number once, in order, and leaves no file") {
  SpoolLab lab;
  lab.open();
  for (int i = 0; i < 4000; ++i) REQUIRE(lab.offer(1 + i % 3));
  CHECK(lab.spool->bytes() < kMemory);
  CHECK(lab.spool->disk()->bytes() > 2 * kMemory);
  CHECK(lab.folder->used() == lab.spool->disk()->bytes());
  while (lab.spool->items() > 0) REQUIRE(lab.deliver() > 0);
  CHECK(lab.delivered == lab.spool->offered());
  CHECK(lab.spool->dropped() == 0);
  CHECK(lab.segments().empty());
  CHECK(lab.folder->used() == 0);
}

TEST_CASE("overflow under random offers, acknowledgements and reconnects keeps the order") {
  for (unsigned seed = 1; seed <= 8; ++seed) {
    INFO("seed " << seed);
    std::mt19937 random(seed);
    SpoolLab lab;
    lab.open();
    for (int i = 0; i < 6000; ++i) {
      bool storm = i / 1500 % 2 == 0;
      if (random() % 4 < (storm ? 4 : 2)) lab.offer(1 + i % 5, random() % 4000);
      if (random() % 10 < (storm ? 1 : 8)) lab.send(1 + random() % (storm ? 10'000 : 200'000));
      if (random() % 10 < (storm ? 1 : 8)) lab.acknowledge(lab.sent - random() % 7);
      if (random() % 100 == 0) lab.reconnect(lab.sent - random() % 30);
      REQUIRE(lab.spool->bytes() <= kMemory);
    }
    while (lab.spool->items() > 0) REQUIRE(lab.deliver() > 0);
    CHECK(lab.delivered == lab.spool->offered());
    CHECK(lab.spool->disk()->written() > 0);
    CHECK(lab.spool->disk()->lost() == 0);
    CHECK(lab.segments().empty());
  }
}

TEST_CASE("UnacknowledgedRecordsShutOutTheDisk: what was sent leaves room for what comes") {
  SpoolLab lab;
  lab.open();
  // The archive, or the network, takes all and acknowledges nothing.
  for (int i = 0; i < 4000; ++i) {
    REQUIRE(lab.offer(1));
    REQUIRE(lab.send(1 << 20));
  }
  CHECK(lab.spool->dropped() == 0);
  CHECK(lab.spool->disk()->bytes() > 2 * kMemory);
  while (lab.spool->items() > 0) REQUIRE(lab.deliver() > 0);
  CHECK(lab.delivered == 4000);
  CHECK(lab.segments().empty());
}

TEST_CASE("a disk that has reached its limit drops before numbering, and takes again when freed") {
  SpoolLab lab;
  lab.open(3 << 20);
  std::uint64_t taken = 0, dropped = 0;
  for (int i = 0; i < 8000; ++i) (lab.offer(2) ? taken : dropped) += 2;
  CHECK(dropped > 0);
  CHECK(lab.spool->dropped() == dropped);
  CHECK(lab.spool->offered() == taken);
  CHECK(lab.folder->used() <= (3 << 20));
  REQUIRE(lab.troubles.size() == 1);
  CHECK(lab.troubles[0].find("spool_disk_mib") != std::string::npos);
  while (lab.spool->items() > 0) REQUIRE(lab.deliver() > 0);
  CHECK(lab.delivered == taken);
  for (int i = 0; i < 2000; ++i) REQUIRE(lab.offer(2));
  while (lab.spool->items() > 0) REQUIRE(lab.deliver() > 0);
  CHECK(lab.delivered == lab.spool->offered());
}

TEST_CASE(
    "what a killed process had on disk is sent as its session's rest, from the archive's end") {
  SpoolLab lab;
  lab.open();
  for (int i = 0; i < 4000; ++i) REQUIRE(lab.offer(2));
  lab.deliver();
  const std::uint64_t first = lab.spool->disk()->first(), last = lab.spool->disk()->last();
  lab.kill();
  lab.open();
  REQUIRE(lab.folder->leftovers.size() == 1);
  const Leftover leftover = lab.folder->leftovers[0];
  CHECK(leftover.session == kSession);
  CHECK(leftover.archive == kArchive);
  CHECK(leftover.bytes() == lab.folder->used());
  auto items = lab.rest_of(leftover, 0);
  REQUIRE(!items.empty());
  CHECK(items.front() == first);
  CHECK(items.back() == last);
  CHECK(items.size() == last - first + 1);
  CHECK(lab.segments().empty());
  CHECK(lab.folder->used() == 0);
}

TEST_CASE("a rest of which the archive has a part, or all, is not sent twice") {
  for (int share : {0, 1, 2, 3}) {
    SpoolLab lab;
    lab.open();
    for (int i = 0; i < 3000; ++i) REQUIRE(lab.offer(2));
    const std::uint64_t first = lab.spool->disk()->first(), last = lab.spool->disk()->last();
    lab.kill();
    lab.open();
    // 3: the archive has what was sent behind it out of memory as well.
    const std::uint64_t resume = share == 3 ? last + 10 : first + (last - first) / 2 * share;
    auto items = lab.rest_of(lab.folder->leftovers.at(0), resume);
    CHECK(items.size() == (resume < last ? last - (resume - (resume - first + 1) % 2) : 0));
    CHECK(lab.segments().empty());
  }
}

TEST_CASE("what an orderly end could not deliver is whole for the next process") {
  SpoolLab lab;
  lab.open();
  for (int i = 0; i < 4000; ++i) REQUIRE(lab.offer(2));
  for (int i = 0; i < 20; ++i) lab.send(100'000);  // some of the disk's stands in memory too
  lab.acknowledge(101);
  REQUIRE(lab.spool->keep());
  const std::uint64_t offered = lab.spool->offered();
  lab.kill();
  lab.open();
  auto items = lab.rest_of(lab.folder->leftovers.at(0), 101);
  CHECK(items.front() <= 102);
  CHECK(items.back() == offered);
  CHECK(items.size() == offered - items.front() + 1);
  CHECK(lab.segments().empty());
}

TEST_CASE("a folder belongs to one process") {
  SpoolLab lab;
  lab.open();
  auto second = SpoolFolder::open(lab.dir.path(), 1 << 20);
  REQUIRE(!second.has_value());
  CHECK(second.error().code == Code::denied);
  CHECK(second.error().text().find("spool_directory") != std::string::npos);
}

}  // namespace
}  // namespace fieldline::stream
