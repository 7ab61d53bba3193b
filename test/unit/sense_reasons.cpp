// SPDX-License-Identifier: Apache-2.0
// Each reason to refuse, provoked. `name of reason: damage` names the tests.
#include <catch2/catch.hpp>
#include <set>

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

const Refusal& refusal(const test::Outcome& outcome) {
  REQUIRE(std::holds_alternative<Refusal>(outcome));
  return std::get<Refusal>(outcome);
}

}  // namespace

TEST_CASE("every reason has a counter's name of its own and a remedy") {
  std::set<std::string> names;
  for (std::size_t i = 0; i < kReasons; ++i) {
    auto reason = static_cast<Reason>(i);
    names.insert(sense::name_of(reason));
    CHECK(std::string(remedy_of(reason)).size() > 20);
  }
  CHECK(names.size() == kReasons);
  CHECK(names.count("unknown") == 0);
}

TEST_CASE("malformed: an empty packet") {
  CHECK(name_of(World().pass({}, kNow)) == "malformed");
}

TEST_CASE("unknown_version: a trigger of tomorrow") {
  Bytes bytes = Sender().trigger(1, kNow);
  bytes[8] = 2;
  CHECK(name_of(World().pass(bytes, kNow)) == "unknown_version");
}

TEST_CASE("unsupported: a sampling that is no power of two") {
  Sender sender;
  sender.grant.sample_n = 6;
  CHECK(name_of(World().pass(sender.trigger(1, kNow), kNow)) == "unsupported");
}

TEST_CASE("outer_mismatch: the packet is not the grant's, though either direction is") {
  World world;
  Bytes bytes = Sender().trigger(1, kNow);
  CHECK(name_of(world.pass(bytes, kNow, test::outer("10.0.0.9", "10.0.3.2"))) == "outer_mismatch");
  CHECK(name_of(world.pass(bytes, kNow, test::outer("10.0.0.1", "10.0.0.1"))) == "outer_mismatch");
  CHECK(name_of(world.pass(bytes, kNow, test::outer("10.0.3.2", "10.0.0.1"))) == "accepted");
  CHECK(direction_of(Sender().grant, test::outer("10.0.3.2", "10.0.0.1")) == FL_REVERSE);
  CHECK(direction_of(Sender().grant, test::outer("10.0.0.1", "10.0.3.2")) == FL_FORWARD);
}

TEST_CASE("expired: pulse, grant, and what the policy leaves of the grant") {
  Sender sender;
  World world;
  CHECK(name_of(world.pass(sender.trigger(1, kNow), kNow + 10 * kSecond)) == "expired");
  CHECK(name_of(world.pass(sender.trigger(1, kNow), kNow + 10 * kSecond - 1)) == "accepted");
  CHECK(name_of(world.pass(sender.trigger(2, kNow + 599 * kSecond), kNow + 600 * kSecond)) ==
        "expired");

  Policy brief = World::open_policy();
  brief.allow[0].max_duration_ns = 60 * kSecond;
  World strict(TestKey::from_seed(1).line("ops"), brief);
  auto late = strict.pass(sender.trigger(1, kNow + 60 * kSecond), kNow + 60 * kSecond);
  CHECK(name_of(late) == "expired");
  CHECK(refusal(late).rule == "allow 1");
  CHECK(refusal(late).principal == "ops");
}

TEST_CASE("from_future: beyond the tolerance, also at the end of the range") {
  Sender sender;
  World world;
  CHECK(name_of(world.pass(sender.trigger(1, kNow), kNow - kClockTolerance - 1)) == "from_future");
  CHECK(name_of(world.pass(sender.trigger(1, kNow), kNow - kClockTolerance)) == "accepted");
  sender.grant.not_after_ns = UINT64_MAX;
  CHECK(name_of(world.pass(sender.trigger({2, UINT64_MAX, UINT64_MAX}), kNow)) == "from_future");
}

TEST_CASE("unknown_key: a stranger, and a line that is not valid now") {
  Bytes bytes = Sender().trigger(1, kNow);
  auto stranger = World(TestKey::from_seed(2).line("other")).pass(bytes, kNow);
  CHECK(name_of(stranger) == "unknown_key");
  CHECK(refusal(stranger).detail.find(to_hex(Sender().grant.key_id)) != std::string::npos);
  CHECK(refusal(stranger).principal.empty());
  CHECK(name_of(World(TestKey::from_seed(1).line("ops", "valid-before=\"20200101Z\""))
                    .pass(bytes, kNow)) == "unknown_key");
}

TEST_CASE("wrong_namespace: a key for other purposes") {
  World world(TestKey::from_seed(1).line("ops", "namespaces=\"git,query@fieldline\""));
  CHECK(name_of(world.pass(Sender().trigger(1, kNow), kNow)) == "wrong_namespace");
}

TEST_CASE("hosts_not_allowed: no rule could allow it, so nothing is verified") {
  Sender sender;
  sender.grant.host_b = test::prefix("192.0.2.1");
  World world;
  auto outcome =
      world.gate.admit(sender.trigger(1, kNow), test::outer("10.0.0.1", "192.0.2.1"), kNow);
  REQUIRE(std::holds_alternative<Refusal>(outcome));
  CHECK(std::get<Refusal>(outcome).reason == Reason::hosts_not_allowed);
}

TEST_CASE("duplicate: the same bytes again, an older sequence, and an end without a run") {
  Sender sender;
  World world;
  CHECK(name_of(world.pass(sender.trigger(5, kNow), kNow)) == "accepted");
  CHECK(name_of(world.pass(sender.trigger(5, kNow), kNow)) == "duplicate");
  CHECK(name_of(world.pass(sender.trigger(4, kNow), kNow)) == "duplicate");
  CHECK(name_of(world.pass(sender.trigger(6, kNow), kNow)) == "accepted");

  Sender other(1, 2);
  auto end = world.pass(other.trigger({9, kNow, kNow}), kNow);
  CHECK(name_of(end) == "duplicate");
  CHECK(refusal(end).principal.empty());
  CHECK(name_of(world.pass(other.trigger(8, kNow), kNow)) == "duplicate");  // overtaken by the end
}

TEST_CASE("duplicate: two copies in the verifier's queue at once start one run") {
  Sender sender;
  World world;
  Bytes bytes = sender.trigger(1, kNow);
  auto from = test::outer("10.0.0.1", "10.0.3.2");
  auto first = std::get<Ticket>(world.gate.admit(bytes, from, kNow));
  auto second = std::get<Ticket>(world.gate.admit(bytes, from, kNow));
  verify(first);
  verify(second);
  CHECK(name_of(world.gate.settle(first, kNow)) == "accepted");
  CHECK(name_of(world.gate.settle(second, kNow)) == "duplicate");
}

TEST_CASE("rate_limited: a source, then the key from wherever, but not runs that are on") {
  GateLimits limits;
  limits.by_source = {1, 4};
  limits.by_key = {1, 6};
  World world(TestKey::from_seed(1).line("ops"), World::open_policy(), limits);
  REQUIRE(name_of(world.pass(Sender(1, 1).trigger(1, kNow), kNow)) == "accepted");
  std::uint32_t run = 1;
  auto next = [&](const std::string& source) {
    Sender sender(1, ++run);
    sender.grant.host_a = test::prefix("10.0.0.0/8");
    return name_of(world.pass(sender.trigger(1, kNow), kNow, test::outer(source, "10.0.3.2")));
  };
  for (int i = 0; i < 3; ++i) CHECK(next("10.0.0.1") == "accepted");
  CHECK(next("10.0.0.200") == "rate_limited");  // the same /24
  CHECK(next("10.0.1.1") == "accepted");
  CHECK(next("10.0.2.1") == "accepted");
  CHECK(next("10.0.4.1") == "rate_limited");  // the key's own bucket
  CHECK(name_of(world.pass(Sender(1, 1).trigger(2, kNow), kNow)) ==
        "accepted");  // a lane of its own
  CHECK(name_of(world.pass(Sender(1, 99).trigger(1, kNow), kNow + 2 * kSecond)) == "accepted");
}

TEST_CASE("bad_signature: grant by another key, pulse by another run's key") {
  Sender sender, thief(2);
  World world;
  Bytes grant = encode(sender.grant), pulse = encode(Pulse{1, kNow, kNow + kSecond});
  auto forged = world.pass(encode_trigger(grant, thief.user.sign_grant(grant), pulse,
                                          sign_pulse(sender.run_key, sender.grant.run, pulse)),
                           kNow);
  CHECK(name_of(forged) == "bad_signature");
  CHECK(refusal(forged).detail == "the grant's");
  CHECK(refusal(forged).principal.empty());
  auto stolen = world.pass(encode_trigger(grant, sender.user.sign_grant(grant), pulse,
                                          sign_pulse(thief.run_key, sender.grant.run, pulse)),
                           kNow);
  CHECK(name_of(stolen) == "bad_signature");
  CHECK(refusal(stolen).detail == "the pulse's");
  CHECK(world.gate.cached_grants() == 0);

  auto wrong_space = world.pass(encode_trigger(grant, sender.user.sign_grant(grant, "file"), pulse,
                                               sign_pulse(sender.run_key, sender.grant.run, pulse)),
                                kNow);
  CHECK(name_of(wrong_space) == "bad_signature");
}

TEST_CASE("grant_changed: a run id belongs to its first grant") {
  Sender sender;
  World world;
  REQUIRE(name_of(world.pass(sender.trigger(1, kNow), kNow)) == "accepted");
  sender.grant.pairs = {{0, 443}};
  CHECK(name_of(world.pass(sender.trigger(2, kNow), kNow)) == "grant_changed");
  CHECK(name_of(world.pass(sender.trigger(1, kNow), kNow)) == "grant_changed");
  Sender same;
  CHECK(name_of(world.pass(same.trigger(2, kNow), kNow)) == "accepted");
}

TEST_CASE("denied: a deny rule, told to the principal that it names") {
  Policy policy = World::open_policy();
  policy.deny = {{"deny 1", {"ops"}, {test::prefix("10.0.3.0/24")}}};
  auto outcome =
      World(TestKey::from_seed(1).line("ops"), policy).pass(Sender().trigger(1, kNow), kNow);
  CHECK(name_of(outcome) == "denied");
  CHECK(refusal(outcome).principal == "ops");
  CHECK(refusal(outcome).rule == "deny 1");
}

TEST_CASE("unknown_archive: a selector that no rule pins") {
  Sender sender;
  sender.grant.archive.fill(7);
  CHECK(name_of(World().pass(sender.trigger(1, kNow), kNow)) == "unknown_archive");
}

TEST_CASE("busy: a pulse for a run that is being wound up changes nothing") {
  Sender sender;
  World world;
  ActivationTable table;
  auto accepted = std::get<Accepted>(world.pass(sender.trigger(1, kNow), kNow));
  REQUIRE(std::holds_alternative<ActivationTable::Change>(table.apply(accepted, kNow, kSecond)));
  REQUIRE(table.expire(UINT64_MAX).size() == 1);
  auto late =
      table.apply(std::get<Accepted>(world.pass(sender.trigger(2, kNow), kNow)), kNow, kSecond);
  REQUIRE(std::holds_alternative<Refusal>(late));
  CHECK(std::get<Refusal>(late).reason == Reason::busy);
  CHECK(table.find(sender.grant.run)->ending);
}

TEST_CASE("table_full: flows, and nothing of the refused grant remains") {
  Sender sender;
  sender.grant.pairs = {{1, 5201}, {2, 5201}, {3, 5201}};
  ActivationTable table(2);
  auto outcome =
      table.apply(std::get<Accepted>(World().pass(sender.trigger(1, kNow), kNow)), kNow, kSecond);
  REQUIRE(std::holds_alternative<Refusal>(outcome));
  CHECK(std::get<Refusal>(outcome).reason == Reason::table_full);
  CHECK(std::get<Refusal>(outcome).principal == "ops");
  CHECK(table.size() == 0);
  CHECK(table.desired().empty());
}
