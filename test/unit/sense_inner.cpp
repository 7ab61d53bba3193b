// SPDX-License-Identifier: Apache-2.0
// The right to look inside tunnels: a rule's, asked for again at each pulse; and flows of ESP.
#include <catch2/catch.hpp>

#include "base/settings.h"
#include "sense_support.h"

using namespace fieldline;
using namespace fieldline::test;
using sense::Accepted;
using sense::ActivationTable;

namespace {

sense::Policy policy(bool inner) {
  sense::Policy made = World::open_policy();
  made.allow[0].inner = inner;
  return made;
}

fl_flow_key inside() {
  fl_flow_key key = outer("10.0.0.1", "10.0.3.2");
  key.where = FL_KEY_INSIDE;
  return key;
}

Accepted accepted(bool inner, std::uint32_t sequence = 1, std::uint32_t run = 1) {
  Accepted made;
  made.trigger.grant = Sender(1, run).grant;
  made.trigger.pulse = {sequence, kNow, kNow + 10 * kSecond};
  made.decision.not_after_ns = kNow + 600 * kSecond;
  made.decision.inner = inner;
  return made;
}

ActivationTable::Change apply(ActivationTable& table, const Accepted& what) {
  return std::get<ActivationTable::Change>(table.apply(what, kNow, kSecond));
}

bool takes_inside(const sense::DesiredFlow& flow) {
  CHECK(flow.key.where == 0);
  return (flow.mask.where & FL_KEY_INSIDE) == 0;
}

}  // namespace

TEST_CASE("a trigger inside a tunnel needs a rule that says inner") {
  const Sender ops;
  World strict(ops.user.line("ops"), policy(false));
  CHECK(name_of(strict.pass(ops.trigger(1, kNow), kNow, inside())) == "denied");
  // What was refused took no sequence: the same pulse outside is honoured.
  CHECK(name_of(strict.pass(ops.trigger(1, kNow), kNow)) == "accepted");
  World open(ops.user.line("ops"), policy(true));
  const Outcome outcome = open.pass(ops.trigger(1, kNow), kNow, inside());
  REQUIRE(name_of(outcome) == "accepted");
  CHECK(std::get<Accepted>(outcome).decision.inner);
  CHECK(policy(true).looks_inside());
  CHECK_FALSE(policy(false).looks_inside());
}

TEST_CASE("inner is read from a rule and is off unless it stands there") {
  const char* text = R"(
[[allow]]
principals = ["ops"]
[[allow]]
inner = true
)";
  auto settings = Settings::parse(text, "policy.toml");
  REQUIRE(settings.has_value());
  const sense::Policy read = sense::read_policy(*settings);
  CHECK(settings->finish().has_value());
  REQUIRE(read.allow.size() == 2);
  CHECK_FALSE(read.allow[0].inner);
  CHECK(read.allow[1].inner);
}

TEST_CASE("runs with and without the right hold entries of their own for one flow") {
  ActivationTable table;
  apply(table, accepted(false, 1, 1));
  apply(table, accepted(true, 1, 2));
  unsigned both = 0, outside = 0;
  for (const auto& flow : table.desired()) {
    const auto& shares = table.shares(flow.value.slot);
    REQUIRE(shares.size() == 1);
    (takes_inside(flow) ? both : outside) += 1;
    CHECK((shares[0].run == run_id(2)) == takes_inside(flow));
  }
  CHECK(both == 2);
  CHECK(outside == 2);
}

TEST_CASE("a right that changes ends the run, and the next pulse starts it with the other") {
  ActivationTable table;
  CHECK(apply(table, accepted(true, 1)) == ActivationTable::Change::started);
  CHECK(apply(table, accepted(true, 2)) == ActivationTable::Change::renewed);
  CHECK(apply(table, accepted(false, 3)) == ActivationTable::Change::ended);
  for (const auto& flow : table.desired()) CHECK(flow.value.deadline_ns == 0);
  table.remove(run_id(1));
  CHECK(apply(table, accepted(false, 4)) == ActivationTable::Change::started);
  for (const auto& flow : table.desired()) CHECK_FALSE(takes_inside(flow));
}

TEST_CASE("SCTP has ports that change places on the way back, ESP an SPI that does not") {
  ActivationTable table;
  Accepted made = accepted(false);
  made.trigger.grant.pairs = {{0x1234, 0x5678}};
  made.trigger.grant.protocol = GENERATE(std::uint8_t{IPPROTO_SCTP}, std::uint8_t{IPPROTO_ESP});
  apply(table, made);
  const bool esp = made.trigger.grant.protocol == IPPROTO_ESP;
  for (const auto& flow : table.desired()) {
    const bool as_given = esp || flow.value.direction == FL_FORWARD;
    CHECK(big_endian(flow.key.sport) == (as_given ? 0x1234 : 0x5678));
    CHECK(big_endian(flow.key.dport) == (as_given ? 0x5678 : 0x1234));
  }
}

TEST_CASE("grants for SCTP, UDP-Lite and ESP are read, with ports and without") {
  Sender ops;
  World world(ops.user.line("ops"));
  std::uint32_t run = 10;
  for (const int protocol : {IPPROTO_SCTP, IPPROTO_UDPLITE, IPPROTO_ESP}) {
    for (const sense::PortPair pair : {sense::PortPair{0, 0}, sense::PortPair{1, 2}}) {
      ops.grant.protocol = static_cast<std::uint8_t>(protocol);
      ops.grant.pairs = {pair};
      ops.grant.run = run_id(++run);
      CHECK(name_of(world.pass(ops.trigger(1, kNow), kNow)) == "accepted");
    }
  }
  ops.grant.protocol = IPPROTO_GRE;
  CHECK(name_of(world.pass(ops.trigger(1, kNow), kNow)) == "unsupported");
}
