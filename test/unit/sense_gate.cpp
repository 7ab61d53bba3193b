// SPDX-License-Identifier: Apache-2.0
// Caches, replays, reloads and the bounds of the gate's memory.
#include <catch2/catch.hpp>

#include "sense_support.h"

using namespace fieldline;
using namespace fieldline::sense;
using test::kNow;
using test::kSecond;
using test::name_of;
using test::Sender;
using test::TestKey;
using test::World;

namespace {

const fl_flow_key kOuter = test::outer("10.0.0.1", "10.0.3.2");

Ticket ticket_of(World& world, const Bytes& bytes, std::uint64_t now) {
  auto admitted = world.gate.admit(bytes, kOuter, now);
  REQUIRE(std::holds_alternative<Ticket>(admitted));
  return std::get<Ticket>(admitted);
}

}  // namespace

TEST_CASE("a renewal costs one verification, and only with the very same grant") {
  Sender sender;
  World world;
  auto first = world.pass(sender.trigger(1, kNow), kNow);
  REQUIRE(name_of(first) == "accepted");
  CHECK_FALSE(std::get<Accepted>(first).renewal);
  CHECK(ticket_of(world, sender.trigger(2, kNow), kNow).grant_cached);
  auto second = world.pass(sender.trigger(2, kNow), kNow);
  REQUIRE(name_of(second) == "accepted");
  CHECK(std::get<Accepted>(second).renewal);

  // A grant of other bytes is not taken for the cached one: its signature is looked at.
  Bytes forged = sender.trigger(3, kNow);
  forged[sizeof(fl_trigger_header) + 115] = 200;  // snaplen
  CHECK_FALSE(ticket_of(world, forged, kNow).grant_cached);
  CHECK(name_of(world.pass(forged, kNow)) == "bad_signature");
}

TEST_CASE("a forged pulse with the real grant moves no sequence") {
  Sender sender;
  World world;
  REQUIRE(name_of(world.pass(sender.trigger(1, kNow), kNow)) == "accepted");
  Bytes forged = sender.trigger(0xffffffff, kNow);
  forged.back() ^= 1;
  CHECK(name_of(world.pass(forged, kNow)) == "bad_signature");
  CHECK(name_of(world.pass(sender.trigger(2, kNow), kNow)) == "accepted");
}

TEST_CASE("an ended run is not revived by a pulse that was recorded on the way") {
  Sender sender;
  World world;
  Bytes recorded = sender.trigger(7, kNow, 60 * kSecond);
  REQUIRE(name_of(world.pass(recorded, kNow)) == "accepted");
  REQUIRE(name_of(world.pass(sender.trigger({8, kNow + kSecond, kNow + kSecond}),
                             kNow + kSecond)) == "accepted");
  world.gate.forget(sender.grant.run);
  for (std::uint64_t later = 2; later < 60; ++later) {
    world.gate.expire(kNow + later * kSecond);
    CHECK(name_of(world.pass(recorded, kNow + later * kSecond)) == "duplicate");
  }
  CHECK(name_of(world.pass(recorded, kNow + 60 * kSecond)) == "expired");
  // Its owner can go on with it.
  CHECK(name_of(world.pass(sender.trigger(9, kNow + 61 * kSecond), kNow + 61 * kSecond)) ==
        "accepted");
}

TEST_CASE("the end of a run is heard although its pulse has no length") {
  Sender sender;
  World world;
  REQUIRE(name_of(world.pass(sender.trigger(1, kNow), kNow)) == "accepted");
  auto late = kNow + 3 * kSecond;  // a sensor's clock ahead, or a slow path
  auto end = world.pass(sender.trigger({2, kNow, kNow}), late);
  REQUIRE(name_of(end) == "accepted");
  CHECK(std::get<Accepted>(end).trigger.pulse.ends_run());
  CHECK(name_of(world.pass(sender.trigger({3, kNow, kNow}), late)) == "duplicate");
  CHECK(name_of(world.pass(sender.trigger({4, kNow, kNow}), kNow + kPulseWindowMax)) == "expired");
}

TEST_CASE("after a reload every grant is judged again, and sequences still count") {
  Sender sender;
  World world;
  REQUIRE(name_of(world.pass(sender.trigger(5, kNow), kNow)) == "accepted");
  world.gate.reload(world.trust, world.policy);
  CHECK_FALSE(ticket_of(world, sender.trigger(6, kNow), kNow).grant_cached);
  CHECK(name_of(world.pass(sender.trigger(5, kNow), kNow)) == "duplicate");
  CHECK(name_of(world.pass(sender.trigger(6, kNow), kNow)) == "accepted");

  Policy closed = world.policy;
  closed.deny = {{"deny 1", {}, {test::prefix("10.0.0.1")}}};
  world.gate.reload(world.trust, closed);
  CHECK(name_of(world.pass(sender.trigger(7, kNow), kNow)) == "denied");
  world.gate.reload(Trust{}, world.policy);
  CHECK(name_of(world.pass(sender.trigger(7, kNow), kNow)) == "unknown_key");
}

TEST_CASE("a key that went while its trigger was verified is not let in") {
  Sender sender;
  World world;
  auto ticket = ticket_of(world, sender.trigger(1, kNow), kNow);
  verify(ticket);
  REQUIRE(ticket.grant_ok);
  world.gate.reload(Trust{}, world.policy);
  CHECK(name_of(world.gate.settle(ticket, kNow)) == "unknown_key");
  CHECK(world.gate.cached_grants() == 0);
}

TEST_CASE("a trigger that grew old in the queue is expired") {
  Sender sender;
  World world;
  auto ticket = ticket_of(world, sender.trigger(1, kNow), kNow);
  verify(ticket);
  CHECK(name_of(world.gate.settle(ticket, kNow + 11 * kSecond)) == "expired");
}

TEST_CASE("several keys with one key id are each tried") {
  // Two lines of one file cannot collide in a test, so the ticket gets its candidates by hand.
  Sender sender;
  World world;
  auto ticket = ticket_of(world, sender.trigger(1, kNow), kNow);
  REQUIRE(ticket.candidate_keys.size() == 1);
  ticket.candidate_keys.insert(ticket.candidate_keys.begin(), TestKey::from_seed(9).public_key);
  verify(ticket);
  CHECK(ticket.grant_ok);
  CHECK(ticket.signer == sender.user.public_key);
}

TEST_CASE("the same key on two lines is one candidate with the principals of both") {
  Policy policy = World::open_policy();
  policy.allow[0].principals = {"noc"};
  TestKey key = TestKey::from_seed(1);
  World world(key.line("ops") + key.line("noc"), policy);
  CHECK(ticket_of(world, Sender().trigger(1, kNow), kNow).candidate_keys.size() == 1);
  auto outcome = world.pass(Sender().trigger(1, kNow), kNow);
  REQUIRE(name_of(outcome) == "accepted");
  CHECK(std::get<Accepted>(outcome).principal == "ops");
}

TEST_CASE(
    "remembered grants are bounded: runs that are on stay, new ones are refused, old ones make "
    "room") {
  GateLimits limits;
  limits.runs = 3;
  World world(TestKey::from_seed(1).line("ops"), World::open_policy(), limits);
  for (std::uint32_t run = 1; run <= 3; ++run) {
    REQUIRE(name_of(world.pass(Sender(1, run).trigger(1, kNow), kNow)) == "accepted");
  }
  CHECK(name_of(world.pass(Sender(1, 4).trigger(1, kNow), kNow)) == "table_full");
  CHECK(name_of(world.pass(Sender(1, 1).trigger(2, kNow), kNow)) == "accepted");
  world.gate.forget(test::run_id(2));
  // Its recorded pulses could still be replayed: it does not make room yet.
  auto soon = kNow + 30 * kSecond;
  CHECK(name_of(world.pass(Sender(1, 4).trigger(1, soon), soon)) == "table_full");
  auto later = kNow + kPulseWindowMax + kSecond;
  CHECK(name_of(world.pass(Sender(1, 4).trigger(1, later), later)) == "accepted");
  CHECK(world.gate.cached_grants() == 3);
  CHECK(name_of(world.pass(Sender(1, 2).trigger(1, kNow), later)) == "expired");
}

TEST_CASE("a flood from ever new sources gets no source a fresh bucket") {
  BucketTable buckets({1, 2}, 8);
  auto key = [](unsigned n) {
    BucketTable::Key bytes{};
    bytes[0] = static_cast<std::uint8_t>(n);
    bytes[1] = static_cast<std::uint8_t>(n >> 8);
    return bytes;
  };
  std::uint64_t now = kNow;
  CHECK(buckets.take(key(0), now));
  CHECK(buckets.take(key(0), now));
  CHECK_FALSE(buckets.take(key(0), now));
  unsigned passed = 0;
  for (unsigned source = 1; source < 2000; ++source) passed += buckets.take(key(source), now);
  CHECK(buckets.size() == 8);
  CHECK(passed == 7 + 2);  // the free buckets, then the one that all others share
  CHECK_FALSE(buckets.take(key(0), now));
  now += kSecond;
  CHECK(buckets.take(key(0), now));
  CHECK_FALSE(buckets.take(key(0), now));
  buckets.drop_full(now);
  CHECK(buckets.size() == 1);
  CHECK_FALSE(buckets.take(key(0), now));
}

TEST_CASE("a clock that steps back neither fills a bucket nor stops it") {
  BucketTable buckets({1, 1}, 8);
  BucketTable::Key key{};
  CHECK(buckets.take(key, kNow));
  CHECK_FALSE(buckets.take(key, kNow - 3600 * kSecond));
  CHECK(buckets.take(key, kNow - 3599 * kSecond));
}
