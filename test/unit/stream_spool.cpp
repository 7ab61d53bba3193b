// SPDX-License-Identifier: Apache-2.0
#include "stream/spool.h"

#include <random>

#include "stream/frame.h"
#include "stream_lab.h"

namespace fieldline::stream {
namespace {

constexpr std::size_t kHeads = sizeof(fl_frame_header) + sizeof(fl_item_head);

bool offer(Spool& spool, std::uint32_t count, std::size_t body = 10) {
  return spool.offer(FL_FRAME_HEADER_RECORDS, FL_ENCODING_BINARY, {}, count, Bytes(body));
}

std::vector<Item> items_of(const Bytes& batch) {
  FrameReader reader;
  reader.feed(batch);
  std::vector<Item> items;
  for (;;) {
    auto frame = reader.next();
    REQUIRE(ok(frame));
    if (!*frame) return items;
    auto item = decode_item(**frame);
    REQUIRE(ok(item));
    item->body = {};
    items.push_back(*item);
  }
}

std::vector<Item> take(Spool& spool, std::size_t enough = 1 << 20) {
  Bytes batch;
  spool.take(batch, enough);
  return items_of(batch);
}

TEST_CASE("a full spool drops without leaving a hole in the numbers") {
  Spool spool(2 * (kHeads + 10));
  CHECK(offer(spool, 3));
  CHECK(offer(spool, 4));
  CHECK_FALSE(offer(spool, 5));
  CHECK(spool.dropped() == 5);
  CHECK(spool.offered() == 7);
  take(spool);
  REQUIRE(ok(spool.acknowledge(3)));
  CHECK(offer(spool, 6));
  auto items = take(spool);
  REQUIRE(items.size() == 1);
  CHECK(items[0].sequence == 8);
  CHECK(spool.offered() == spool.acknowledged() + spool.items());
}

TEST_CASE("reports have a reserve that records cannot take") {
  Spool spool(100);
  CHECK(offer(spool, 1));
  CHECK_FALSE(offer(spool, 1, 100));
  Bytes report(kSpoolReserve - 100);
  CHECK(spool.offer(FL_FRAME_FINAL_COUNTS, FL_ENCODING_JSON, {}, 1, report));
  CHECK_FALSE(spool.offer(FL_FRAME_FINAL_COUNTS, FL_ENCODING_JSON, {}, 1, report));
  CHECK(spool.dropped() == 2);
}

TEST_CASE("a frame longer than the limit is dropped, not sent") {
  Spool spool(64 << 20);
  CHECK(offer(spool, 1, FL_FRAME_MAX - sizeof(fl_item_head)));
  CHECK_FALSE(offer(spool, 1, FL_FRAME_MAX - sizeof(fl_item_head) + 1));
  CHECK_FALSE(offer(spool, 0));
}

TEST_CASE("a resume inside a frame sends it whole again") {
  Spool spool(1 << 20);
  for (int i = 0; i < 4; ++i) CHECK(offer(spool, 10));
  CHECK(take(spool).size() == 4);
  CHECK(spool.resent() == 0);
  REQUIRE(ok(spool.resume(15)));
  CHECK(spool.acknowledged() == 15);
  CHECK(spool.items() == 25);
  auto items = take(spool);
  REQUIRE(items.size() == 3);
  CHECK(items[0].sequence == 11);
  CHECK(spool.resent() == 30);
}

TEST_CASE("numbers that were never sent cannot be acknowledged") {
  Spool spool(1 << 20);
  CHECK(offer(spool, 10));
  CHECK_FALSE(ok(spool.resume(1)));
  take(spool);
  CHECK(ok(spool.acknowledge(10)));
  CHECK_FALSE(ok(spool.acknowledge(11)));
  CHECK_FALSE(ok(spool.resume(11)));
  CHECK(ok(spool.acknowledge(3)));  // an older one is nothing new
  CHECK(spool.acknowledged() == 10);
  CHECK(spool.bytes() == 0);
}

TEST_CASE("an archive that lost what it acknowledged is not sent what is gone") {
  Spool spool(1 << 20);
  for (int i = 0; i < 3; ++i) CHECK(offer(spool, 1));
  take(spool);
  REQUIRE(ok(spool.acknowledge(2)));
  REQUIRE(ok(spool.resume(0)));
  auto items = take(spool);
  REQUIRE(items.size() == 1);
  CHECK(items[0].sequence == 3);
}

TEST_CASE("batches are bounded and in order under random acknowledgements") {
  std::mt19937 random(3);
  Spool spool(20'000);
  std::uint64_t next = 1, offered = 0, dropped = 0;
  for (int i = 0; i < 20'000; ++i) {
    auto count = static_cast<std::uint32_t>(1 + random() % 5);
    (offer(spool, count, random() % 300) ? offered : dropped) += count;
    if (random() % 3 == 0) {
      for (const auto& item : take(spool, 1 + random() % 2000)) {
        REQUIRE(item.sequence == next);
        next += item.count;
      }
    }
    if (random() % 4 == 0 && next > 1) REQUIRE(ok(spool.acknowledge(random() % next)));
    if (random() % 500 == 0) {
      REQUIRE(ok(spool.resume(spool.acknowledged())));
      Bytes batch;
      spool.take(batch, 1);
      auto again = items_of(batch);
      if (!again.empty()) {
        REQUIRE(again[0].sequence <= spool.acknowledged() + 1);
        next = again[0].sequence + again[0].count;
      }
    }
    REQUIRE(spool.offered() == offered);
    REQUIRE(spool.dropped() == dropped);
    REQUIRE(spool.offered() == spool.acknowledged() + spool.items());
    REQUIRE(spool.bytes() <= 20'000);
  }
}

}  // namespace
}  // namespace fieldline::stream
