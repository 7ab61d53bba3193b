// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <random>

#include "test/unit/sense_support.h"

using namespace fieldline;
using namespace fieldline::sense;
using test::kNow;
using test::Sender;

namespace {

Bytes mutated(Bytes bytes, std::mt19937_64& random) {
  auto any = [&](std::size_t below) { return below == 0 ? 0 : random() % below; };
  for (auto rounds = 1 + any(4); rounds > 0; --rounds) {
    auto at = static_cast<std::ptrdiff_t>(any(bytes.size()));
    switch (any(6)) {
      case 0:
        bytes[static_cast<std::size_t>(at)] ^= static_cast<std::uint8_t>(1 << any(8));
        break;
      case 1:
        bytes[static_cast<std::size_t>(at)] = static_cast<std::uint8_t>(random());
        break;
      case 2:
        bytes[static_cast<std::size_t>(at)] = random() % 2 ? 0xff : 0;
        break;
      case 3:
        bytes.erase(bytes.begin() + at,
                    bytes.begin() + at +
                        std::min<std::ptrdiff_t>(bytes.end() - bytes.begin() - at,
                                                 static_cast<std::ptrdiff_t>(any(9))));
        break;
      case 4:
        bytes.insert(bytes.begin() + at, any(9), static_cast<std::uint8_t>(random()));
        break;
      case 5:
        bytes.resize(any(bytes.size() + 32));
        break;
    }
    if (bytes.empty()) bytes.push_back(0);
  }
  return bytes;
}

struct Tally {
  RefusalCounters refused{};
  std::uint64_t accepted = 0, total = 0;
  void count(const test::Outcome& outcome) {
    ++total;
    if (auto* refusal = std::get_if<Refusal>(&outcome)) {
      ++refused.at(static_cast<std::size_t>(refusal->reason));
      REQUIRE_FALSE(refusal->detail.empty());
    } else {
      ++accepted;
    }
  }
  std::uint64_t of(Reason reason) const { return refused[static_cast<std::size_t>(reason)]; }
};

// Every trigger that gets so far is verified: no bucket stands before it.
test::World unlimited() {
  GateLimits limits;
  limits.by_source = limits.by_key = limits.by_run = {1e9, 1e9};
  return test::World(test::TestKey::from_seed(1).line("ops"), test::World::open_policy(), limits);
}

std::vector<Bytes> corpus() {
  std::vector<Bytes> triggers;
  Sender plain, many(1, 2), six(1, 3), stranger(5, 4), end(1, 5);
  for (std::uint16_t port = 1; port < 32; ++port) many.grant.pairs.push_back({port, 443});
  six.grant.host_a = test::prefix("2001:db8::/64");
  six.grant.archive.fill(1);
  triggers.push_back(plain.trigger(1, kNow));
  triggers.push_back(many.trigger(1, kNow));
  triggers.push_back(six.trigger(1, kNow));
  triggers.push_back(stranger.trigger(1, kNow));
  triggers.push_back(end.trigger({1, kNow, kNow}));
  return triggers;
}

}  // namespace

TEST_CASE("100,000 random packets are malformed, each counted") {
  std::mt19937_64 random(0x66756e6e656cu);
  test::World world;
  Tally tally;
  for (int i = 0; i < 100'000; ++i) {
    Bytes bytes(random() % (FL_TRIGGER_MAX + 100));
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    // Half of them get past the magic and the version.
    if (i % 2 == 0 && bytes.size() >= sizeof(fl_trigger_header)) {
      std::copy_n(reinterpret_cast<const std::uint8_t*>(FL_TRIGGER_MAGIC), FL_TRIGGER_MAGIC_LEN,
                  bytes.begin());
      bytes[8] = FL_TRIGGER_VERSION;
    }
    tally.count(world.pass(bytes, kNow));
  }
  CHECK(tally.of(Reason::malformed) == 100'000);
  CHECK(world.gate.cached_grants() == 0);
  CHECK(world.gate.buckets() == 0);
}

TEST_CASE("random bodies in frames whose lengths agree reach every field, and none is accepted") {
  std::mt19937_64 random(0x626f6479u);
  test::World world = unlimited();
  Tally tally;
  const Bytes plain = Sender().trigger(1, kNow);
  for (int i = 0; i < 25'000; ++i) {
    Bytes bytes = plain;
    // A random stretch of grant, signature, pulse or pulse signature.
    std::size_t from =
        sizeof(fl_trigger_header) + random() % (bytes.size() - sizeof(fl_trigger_header));
    std::size_t to = std::min(bytes.size(), from + 1 + random() % 24);
    bool changed = false;
    for (std::size_t at = from; at < to; ++at) {
      auto byte = static_cast<std::uint8_t>(random());
      changed = changed || byte != bytes[at];
      bytes[at] = byte;
    }
    if (changed) tally.count(world.pass(bytes, kNow));
  }
  CHECK(tally.accepted == 0);
  CHECK(tally.of(Reason::malformed) > 1000);
  CHECK(tally.of(Reason::unknown_key) > 100);
  CHECK(tally.of(Reason::outer_mismatch) > 100);
  CHECK(tally.of(Reason::bad_signature) > 5'000);
  CHECK(world.gate.cached_grants() == 0);
}

TEST_CASE("mutated triggers change nothing: no run, no cache, and bounded memory") {
  std::mt19937_64 random(0x6d757461u);
  test::World world = unlimited();
  ActivationTable table;
  Tally tally;
  const auto seeds = corpus();
  for (int i = 0; i < 100'000; ++i) {
    const Bytes& seed = seeds[random() % seeds.size()];
    Bytes bytes = mutated(seed, random);
    if (bytes == seed) continue;
    auto outcome = world.pass(bytes, kNow + static_cast<std::uint64_t>(i) * 1000);
    tally.count(outcome);
    if (auto* accepted = std::get_if<Accepted>(&outcome)) (void)table.apply(*accepted, kNow, kNow);
  }
  CHECK(tally.accepted == 0);
  CHECK(table.size() == 0);
  CHECK(world.gate.cached_grants() == 0);
  CHECK(tally.of(Reason::bad_signature) > 1000);
  CHECK(world.gate.buckets() <= 8);
}
