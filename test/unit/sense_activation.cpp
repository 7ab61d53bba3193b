// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <map>

#include "proto/digest.h"
#include "sense_support.h"

using namespace fieldline;
using namespace fieldline::sense;
using test::kNow;
using test::kSecond;
using test::Sender;
using Change = ActivationTable::Change;

namespace {

constexpr std::uint64_t kMono = 1000 * kSecond;

Accepted accepted(const Sender& sender, std::uint32_t sequence = 1, std::uint64_t issued = kNow,
                  std::uint64_t lasts = 10 * kSecond) {
  Accepted out;
  out.trigger.grant = sender.grant;
  out.trigger.pulse = {sequence, issued, issued + lasts};
  out.decision.rule = "allow 1";
  out.decision.not_after_ns = sender.grant.not_after_ns;
  out.decision.snaplen = sender.grant.snaplen;
  out.principal = "ops";
  return out;
}

Change change_of(const std::variant<Change, Refusal>& outcome) {
  INFO((outcome.index() == 1 ? std::get<Refusal>(outcome).detail : ""));
  REQUIRE(std::holds_alternative<Change>(outcome));
  return std::get<Change>(outcome);
}

std::string reason_of(const std::variant<Change, Refusal>& outcome) {
  REQUIRE(std::holds_alternative<Refusal>(outcome));
  return name_of(std::get<Refusal>(outcome).reason);
}

bool matches(const DesiredFlow& flow, const fl_flow_key& packet) {
  auto bytes = [](const fl_flow_key& key) { return view_of(key); };
  for (std::size_t i = 0; i < sizeof(fl_flow_key); ++i) {
    if ((bytes(packet)[i] & bytes(flow.mask)[i]) != bytes(flow.key)[i]) return false;
  }
  return true;
}

fl_flow_key packet(std::string_view from, std::string_view to, std::uint16_t sport,
                   std::uint16_t dport, std::uint8_t protocol = IPPROTO_TCP) {
  fl_flow_key key = test::outer(from, to);
  key.sport = big_endian(sport);
  key.dport = big_endian(dport);
  key.protocol = protocol;
  return key;
}

// The entries that a packet matches, in the table's words: direction and deadline.
std::vector<fl_flow_value> hits(const ActivationTable& table, const fl_flow_key& key) {
  std::vector<fl_flow_value> found;
  for (const auto& flow : table.desired()) {
    if (matches(flow, key)) found.push_back(flow.value);
  }
  return found;
}

}  // namespace

TEST_CASE(
    "one pair is two entries, one per direction, until the pulse's expiry on the monotonic clock") {
  ActivationTable table;
  Sender sender;
  CHECK(change_of(table.apply(accepted(sender), kNow + kSecond, kMono)) == Change::started);
  REQUIRE(table.desired().size() == 2);
  auto forward = hits(table, packet("10.0.0.1", "10.0.3.2", 40000, 5201));
  auto reverse = hits(table, packet("10.0.3.2", "10.0.0.1", 5201, 40000));
  REQUIRE(forward.size() == 1);
  REQUIRE(reverse.size() == 1);
  CHECK(forward[0].direction == FL_FORWARD);
  CHECK(reverse[0].direction == FL_REVERSE);
  CHECK(forward[0].slot != reverse[0].slot);
  CHECK(forward[0].deadline_ns == kMono + 9 * kSecond);
  CHECK(hits(table, packet("10.0.0.1", "10.0.3.2", 40000, 5202)).empty());
  CHECK(hits(table, packet("10.0.0.1", "10.0.3.2", 5201, 40000))
            .empty());  // by the key, not the port
  CHECK(hits(table, packet("10.0.0.1", "10.0.3.2", 40000, 5201, IPPROTO_UDP)).empty());
  CHECK(table.next_deadline_mono_ns() == kMono + 9 * kSecond);
  CHECK(table.find(sender.grant.run)->deadline_utc_ns == kNow + 10 * kSecond);
  REQUIRE(table.shares(forward[0].slot).size() == 1);
  CHECK(table.shares(forward[0].slot)[0].direction == FL_FORWARD);
  CHECK(table.shares(4711).empty());
}

TEST_CASE("prefixes and both-any pairs match what they contain, and ICMP has no ports") {
  ActivationTable table;
  Sender sender;
  sender.grant.host_a = test::prefix("10.0.0.0/25");
  sender.grant.pairs = {{0, 0}};
  change_of(table.apply(accepted(sender), kNow, kMono));
  CHECK(hits(table, packet("10.0.0.127", "10.0.3.2", 1, 2)).size() == 1);
  CHECK(hits(table, packet("10.0.0.128", "10.0.3.2", 1, 2)).empty());
  CHECK(hits(table, packet("10.0.3.2", "10.0.0.3", 9, 9)).size() == 1);

  Sender echo(1, 2);
  echo.grant.protocol = IPPROTO_ICMP;
  echo.grant.pairs = {{0, 0}};
  change_of(table.apply(accepted(echo), kNow, kMono));
  CHECK(hits(table, packet("10.0.0.1", "10.0.3.2", 0, 0, IPPROTO_ICMP)).size() == 1);

  Sender six(1, 3);
  six.grant.host_a = test::prefix("2001:db8::/64");
  six.grant.host_b = test::prefix("2001:db8:1::1");
  change_of(table.apply(accepted(six), kNow, kMono));
  CHECK(hits(table, packet("2001:db8::7", "2001:db8:1::1", 40000, 5201)).size() == 1);
  CHECK(hits(table, packet("2001:db8:2::7", "2001:db8:1::1", 40000, 5201)).empty());
}

TEST_CASE(
    "equal flows of several runs are one entry with the latest deadline and the larger snaplen, "
    "the "
    "headers at least where one of them asks for those") {
  ActivationTable table;
  Sender one(1, 1), two(1, 2);
  one.grant.snaplen = 0;
  two.grant.snaplen = 200;
  change_of(table.apply(accepted(one, 1, kNow, 20 * kSecond), kNow, kMono));
  change_of(table.apply(accepted(two, 1, kNow, 10 * kSecond), kNow, kMono));
  REQUIRE(table.desired().size() == 2);
  auto value = table.desired()[0].value;
  CHECK(value.deadline_ns == kMono + 20 * kSecond);
  CHECK(value.snaplen == (200 | FL_SNAPLEN_AND_HEADERS));
  REQUIRE(table.shares(value.slot).size() == 2);
  CHECK(table.shares(value.slot)[0].snaplen == 0);
  CHECK(table.shares(value.slot)[1].snaplen == 200);

  // The one that ends takes its right with it; the entry lives for the other.
  CHECK(table.expire(kMono + 10 * kSecond) == std::vector<RunId>{two.grant.run});
  value = table.desired()[0].value;
  CHECK(value.deadline_ns == kMono + 20 * kSecond);
  CHECK(value.snaplen == 0);
  CHECK(table.shares(value.slot).size() == 2);  // what is in the ring is still his
  table.remove(two.grant.run);
  CHECK(table.shares(value.slot).size() == 1);
  CHECK(table.expire(kMono + 20 * kSecond) == std::vector<RunId>{one.grant.run});
  CHECK(table.desired()[0].value.deadline_ns == 0);
  table.remove(one.grant.run);
  CHECK(table.desired().empty());
}

TEST_CASE("the same flow seen from its other end shares entries, each run with its own direction") {
  ActivationTable table;
  Sender one(1, 1), two(1, 2);
  std::swap(two.grant.host_a, two.grant.host_b);
  two.grant.pairs = {{5201, 0}};
  change_of(table.apply(accepted(one), kNow, kMono));
  change_of(table.apply(accepted(two), kNow, kMono));
  REQUIRE(table.desired().size() == 2);
  auto value = hits(table, packet("10.0.0.1", "10.0.3.2", 40000, 5201)).at(0);
  CHECK(table.shares(value.slot)[0].direction == FL_FORWARD);
  CHECK(table.shares(value.slot)[1].direction == FL_REVERSE);
}

TEST_CASE("a renewal moves the deadline and takes new limits") {
  ActivationTable table;
  Sender sender;
  change_of(table.apply(accepted(sender), kNow, kMono));
  auto again = accepted(sender, 2, kNow + 5 * kSecond);
  again.decision.snaplen = 64;
  CHECK(change_of(table.apply(again, kNow + 5 * kSecond, kMono + 5 * kSecond)) == Change::renewed);
  CHECK(table.expire(kMono + 14 * kSecond).empty());
  CHECK(table.desired()[0].value.deadline_ns == kMono + 15 * kSecond);
  CHECK(table.desired()[0].value.snaplen == 64);
  CHECK(table.find(sender.grant.run)->pulses == 2);
  CHECK(table.expire(kMono + 15 * kSecond).size() == 1);
  CHECK(table.expire(kMono + 15 * kSecond).empty());
}

TEST_CASE("nothing extends beyond what the policy gave") {
  ActivationTable table;
  Sender sender;
  auto late = accepted(sender, 1, kNow, 60 * kSecond);
  late.decision.not_after_ns = kNow + 3 * kSecond;
  change_of(table.apply(late, kNow, kMono));
  CHECK(table.desired()[0].value.deadline_ns == kMono + 3 * kSecond);
  CHECK(reason_of(table.apply(late, kNow + 3 * kSecond, kMono + 3 * kSecond)) == "expired");
}

TEST_CASE("an ending pulse ends at once, and only once") {
  ActivationTable table;
  Sender sender;
  CHECK(reason_of(table.apply(accepted(sender, 1, kNow, 0), kNow, kMono)) == "duplicate");
  change_of(table.apply(accepted(sender), kNow, kMono));
  CHECK(change_of(table.apply(accepted(sender, 2, kNow, 0), kNow, kMono)) == Change::ended);
  CHECK(table.desired()[0].value.deadline_ns == 0);
  CHECK_FALSE(table.next_deadline_mono_ns());
  CHECK(table.expire(UINT64_MAX).empty());
  CHECK(reason_of(table.apply(accepted(sender, 3, kNow, 0), kNow, kMono)) == "duplicate");
  table.remove(sender.grant.run);
  table.remove(sender.grant.run);
  CHECK(table.size() == 0);
  CHECK(change_of(table.apply(accepted(sender, 4), kNow, kMono)) == Change::started);
}

TEST_CASE("pairs inside another are one entry; a run whose flows overlap in part knows it") {
  ActivationTable table;
  Sender sender;
  sender.grant.pairs = {{40000, 5201}, {0, 5201}, {40001, 5201}, {0, 5201}};
  change_of(table.apply(accepted(sender), kNow, kMono));
  CHECK(table.desired().size() == 2);
  CHECK(hits(table, packet("10.0.0.1", "10.0.3.2", 40000, 5201)).size() == 1);
  CHECK_FALSE(table.find(sender.grant.run)->overlap);

  Sender crossed(1, 2);
  crossed.grant.pairs = {{0, 5203}, {40000, 0}};
  change_of(table.apply(accepted(crossed), kNow, kMono));
  CHECK(table.find(crossed.grant.run)->overlap);
  CHECK(hits(table, packet("10.0.0.1", "10.0.3.2", 40000, 5203)).size() == 2);
  table.remove(crossed.grant.run);

  Sender networks(1, 4);  // 10.2.0.0/24 lies inside: from there to there has two directions
  networks.grant.host_a = test::prefix("10.2.0.0/16");
  networks.grant.host_b = test::prefix("10.2.0.0/24");
  networks.grant.pairs = {{0, 0}};
  change_of(table.apply(accepted(networks), kNow, kMono));
  CHECK(table.find(networks.grant.run)->overlap);
  CHECK(hits(table, packet("10.2.0.2", "10.2.0.1", 1, 2)).size() == 2);
  CHECK(hits(table, packet("10.2.1.2", "10.2.0.1", 1, 2)).size() == 1);
  table.remove(networks.grant.run);
  networks.grant.host_b = test::prefix("10.2.0.1");  // but one host inside a network has not
  change_of(table.apply(accepted(networks), kNow, kMono));
  CHECK_FALSE(table.find(networks.grant.run)->overlap);
  CHECK(hits(table, packet("10.2.0.2", "10.2.0.1", 1, 2)).size() == 1);
}

TEST_CASE("inside one network an entry is of both directions, or the server's port tells them") {
  ActivationTable table;
  Sender open(1, 1), service(1, 2);
  for (Sender* sender : {&open, &service})
    sender->grant.host_a = sender->grant.host_b = test::prefix("10.1.0.0/16");
  open.grant.pairs = {{0, 0}};
  change_of(table.apply(accepted(open), kNow, kMono));
  auto both = hits(table, packet("10.1.0.1", "10.1.0.2", 40000, 5201));
  REQUIRE(both.size() == 1);
  CHECK(table.shares(both[0].slot).at(0).direction == FL_EITHER);
  CHECK(table.find(open.grant.run)->overlap);
  table.remove(open.grant.run);

  service.grant.pairs = {{0, 5201}};
  change_of(table.apply(accepted(service), kNow, kMono));
  auto there = hits(table, packet("10.1.0.1", "10.1.0.2", 40000, 5201));
  auto back = hits(table, packet("10.1.0.2", "10.1.0.1", 5201, 40000));
  REQUIRE(there.size() == 1);
  REQUIRE(back.size() == 1);
  CHECK(there[0].direction == FL_FORWARD);
  CHECK(back[0].direction == FL_REVERSE);
  CHECK(hits(table, packet("10.1.0.2", "10.1.0.1", 5201, 5201)).size() == 2);
  CHECK(table.find(service.grant.run)->overlap);

  // The same asked for from the server's side: what one calls forward, the other calls reverse.
  Sender mirrored(1, 3);
  mirrored.grant.host_a = mirrored.grant.host_b = test::prefix("10.1.0.0/16");
  mirrored.grant.pairs = {{5201, 0}, {0, 5201}};
  change_of(table.apply(accepted(mirrored), kNow, kMono));
  CHECK(table.desired().size() == 2);
  for (const RunShare& share : table.shares(there[0].slot))
    CHECK(share.direction == (share.run == mirrored.grant.run ? FL_EITHER : FL_FORWARD));
}

TEST_CASE("the kernel samples an entry only while one run alone holds it") {
  auto sampled = [](const Sender& sender, std::uint8_t bits) {
    Accepted out = accepted(sender);
    out.decision.sample_bits = bits;
    return out;
  };
  ActivationTable table;
  Sender one(1, 1), two(1, 2), crossed(1, 3);
  change_of(table.apply(sampled(one, 3), kNow, kMono));
  for (const auto& flow : table.desired()) CHECK(flow.value.sample_bits == 3);
  change_of(table.apply(sampled(two, FL_SAMPLE_NONE), kNow, kMono));
  for (const auto& flow : table.desired()) CHECK(flow.value.sample_bits == 0);

  // One that ended keeps its share until it was counted.
  CHECK(change_of(table.apply(accepted(two, 2, kNow, 0), kNow, kMono)) == Change::ended);
  for (const auto& flow : table.desired()) CHECK(flow.value.sample_bits == 0);
  table.remove(two.grant.run);
  for (const auto& flow : table.desired()) CHECK(flow.value.sample_bits == 3);
  table.remove(one.grant.run);

  change_of(table.apply(sampled(two, FL_SAMPLE_NONE), kNow, kMono));
  for (const auto& flow : table.desired()) CHECK(flow.value.sample_bits == FL_SAMPLE_NONE);
  crossed.grant.pairs = {{0, 80}, {25, 0}};
  change_of(table.apply(sampled(crossed, 3), kNow, kMono));
  for (const auto& flow : table.desired())
    CHECK(flow.value.sample_bits ==
          (table.shares(flow.value.slot).at(0).run == crossed.grant.run ? 0 : FL_SAMPLE_NONE));
}

TEST_CASE("flows, runs and masks are bounded, all or nothing") {
  ActivationTable table(3, 2);
  Sender one(1, 1), two(1, 2), three(1, 3);
  one.grant.pairs = {{1, 1}, {2, 2}};
  two.grant.pairs = {{3, 3}, {4, 4}};
  change_of(table.apply(accepted(one), kNow, kMono));
  CHECK(reason_of(table.apply(accepted(two), kNow, kMono)) == "table_full");
  CHECK(table.desired().size() == 4);
  two.grant.pairs = {{1, 1}, {3, 3}};  // one of them is there already
  change_of(table.apply(accepted(two), kNow, kMono));
  CHECK(table.desired().size() == 6);
  three.grant.pairs = {{1, 1}};
  CHECK(reason_of(table.apply(accepted(three), kNow, kMono)) == "table_full");  // runs
  table.remove(one.grant.run);
  CHECK(table.desired().size() == 4);
  change_of(table.apply(accepted(three), kNow, kMono));

  ActivationTable masks;
  std::uint32_t run = 0;
  for (unsigned length = 20; length < 24; ++length) {  // two directions: two masks each
    Sender sender(1, ++run);
    sender.grant.host_a = test::prefix("10.0.0.0/" + std::to_string(length));
    change_of(masks.apply(accepted(sender), kNow, kMono));
  }
  Sender ninth(1, 9);
  ninth.grant.host_a = test::prefix("10.0.0.0/24");
  CHECK(reason_of(masks.apply(accepted(ninth), kNow, kMono)) == "table_full");
  masks.remove(test::run_id(1));
  change_of(masks.apply(accepted(ninth), kNow, kMono));
}

TEST_CASE("all 65,536 flows fit, and no slot is given twice") {
  ActivationTable table;
  std::uint16_t port = 0;
  for (std::uint32_t run = 1; run <= 2048; ++run) {
    Sender sender(1, 1);
    sender.grant.run = test::run_id(run);
    sender.grant.host_a = test::prefix("10.1." + std::to_string(run / 1024) + ".1");
    sender.grant.pairs.clear();
    for (int i = 0; i < 32; ++i) sender.grant.pairs.push_back({++port == 0 ? ++port : port, 5201});
    change_of(table.apply(accepted(sender), kNow, kMono));
  }
  auto flows = table.desired();
  std::map<std::uint32_t, int> slots;
  for (const auto& flow : flows) ++slots[flow.value.slot];
  CHECK(slots.size() == flows.size());
  CHECK(slots.rbegin()->first < 2 * FL_FLOWS_DEFAULT);
  CHECK(flows.size() > 2 * 65000);
}

TEST_CASE("soft state: 10,000 runs come, renew, lapse or end, and leave nothing behind") {
  test::World world;
  ActivationTable table;
  std::uint64_t now = kNow, mono = kMono;
  auto gone = [&](const RunId& run) {
    table.remove(run);
    world.gate.forget(run);
  };
  for (std::uint32_t run = 1; run <= 10'000; ++run) {
    now += kSecond / 10;
    mono += kSecond / 10;
    Sender sender(1, run);
    sender.grant.pairs = {{0, static_cast<std::uint16_t>(run)}};
    sender.grant.issued_at_ns = now;
    sender.grant.not_after_ns = now + 120 * kSecond;
    auto pulse = [&](std::uint32_t sequence, std::uint64_t lasts) {
      auto outcome = world.pass(sender.trigger(sequence, now, lasts), now);
      REQUIRE(test::name_of(outcome) == "accepted");
      return change_of(table.apply(std::get<Accepted>(outcome), now, mono));
    };
    REQUIRE(pulse(1, 5 * kSecond) == Change::started);
    if (run % 2 == 0) REQUIRE(pulse(2, 10 * kSecond) == Change::renewed);
    if (run % 3 == 0) {
      REQUIRE(pulse(3, 0) == Change::ended);
      gone(sender.grant.run);
    }
    for (const RunId& lapsed : table.expire(mono)) gone(lapsed);
    world.gate.expire(now);
    REQUIRE(table.size() <= 110);
    REQUIRE(world.gate.cached_grants() <= 1210);
  }
  CHECK(table.size() > 0);
  for (const RunId& lapsed : table.expire(mono + 10 * kSecond)) gone(lapsed);
  world.gate.expire(now + 120 * kSecond);
  CHECK(table.size() == 0);
  CHECK(table.desired().empty());
  CHECK(table.all().empty());
  CHECK_FALSE(table.next_deadline_mono_ns());
  CHECK(world.gate.cached_grants() == 0);
  CHECK(world.gate.buckets() == 0);
  // Slots were given again: no more than were in use at once.
  Sender last;
  change_of(table.apply(accepted(last), kNow, kMono));
  for (const auto& flow : table.desired()) CHECK(flow.value.slot < 2 * 110);
}
