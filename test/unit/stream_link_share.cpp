// SPDX-License-Identifier: Apache-2.0
#include "stream/link_share.h"

#include <catch2/catch.hpp>

using fieldline::stream::LinkShare;

namespace {

constexpr std::size_t kBatch = 64 << 10;

// What a rest sends in one turn.
std::size_t turn(LinkShare& share) {
  std::size_t sent = 0;
  while (share.rest_may_send() && sent < 100 * kBatch) {
    share.rest_sent(kBatch);
    sent += kBatch;
  }
  return sent;
}

}  // namespace

TEST_CASE("A rest has the link alone while the live stream has nothing to send") {
  LinkShare share;
  CHECK(turn(share) == 100 * kBatch);
  share.live_wants(true);
  CHECK(turn(share) == 0);
  share.live_wants(false);
  CHECK(turn(share) == 100 * kBatch);
}

TEST_CASE(
    "A rest sends as much as the live stream while that has something, and is never ahead by more "
    "than a batch") {
  LinkShare share;
  share.live_wants(true);
  std::size_t live = 0, rest = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::size_t bytes = i % 3 == 0 ? kBatch : 1500;
    share.live_sent(bytes);
    live += bytes;
    rest += turn(share);
    REQUIRE(rest < live + kBatch);
    REQUIRE(rest + kBatch > live);
  }
}

TEST_CASE("What the rests did not use is not saved up without end") {
  LinkShare share;
  share.live_wants(true);
  for (int i = 0; i < 10'000; ++i) share.live_sent(kBatch);
  CHECK(turn(share) <= LinkShare::kCredit + kBatch);
}

TEST_CASE("What a rest sent while it was alone is not held against it") {
  LinkShare share;
  turn(share);
  share.live_wants(true);
  share.live_sent(1);
  CHECK(share.rest_may_send());
}

TEST_CASE("A rest is woken when it may send again, and not after it has gone") {
  LinkShare share;
  int woken = 0;
  share.add_rest(&woken, [&] { ++woken; });
  share.live_wants(true);
  CHECK(woken == 0);
  share.live_sent(1);
  CHECK(woken == 1);
  share.live_wants(false);
  CHECK(woken == 2);
  share.remove_rest(&woken);
  share.live_sent(1);
  CHECK(woken == 2);
}
