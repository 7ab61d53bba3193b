// SPDX-License-Identifier: Apache-2.0
// What is asked for as a command's sockets come and go.
#include "cli/cover.h"

#include <netinet/in.h>

#include <catch2/catch.hpp>

using namespace fieldline;
using namespace fieldline::cli;
using Pairs = std::vector<sense::PortPair>;
using State = Cover::State;

namespace {

constexpr std::uint64_t kLook = 20'000'000;

DiagSocket socket_to(std::uint16_t local, std::uint16_t remote, const char* host = "10.0.2.2",
                     int protocol = IPPROTO_TCP) {
  DiagSocket socket;
  socket.protocol = static_cast<std::uint8_t>(protocol);
  socket.local = *Address::parse("10.0.0.1");
  socket.remote = *Address::parse(host);
  socket.local_port = local;
  socket.remote_port = remote;
  socket.cookie = std::uint64_t{local} << 16 | remote;
  return socket;
}

// Looks that find these, one after another; grants are signed at once.
struct World {
  Cover cover;
  std::uint64_t now = 0;
  std::vector<DiagSocket> there;

  void look() { cover.see(there, now += kLook); }
  std::vector<Plan> grant_all() {
    std::vector<Plan> plans;
    while (auto plan = cover.next()) {
      cover.cover(*plan, now);
      plans.push_back(*plan);
      REQUIRE(plans.size() <= Cover::kRunsMost);
    }
    return plans;
  }
  std::vector<Plan> look_and_grant() {
    look();
    return grant_all();
  }
};

}  // namespace

TEST_CASE("cover: what is there at once is one grant per peer, by both ports") {
  World world;
  world.there = {socket_to(40001, 5201), socket_to(40002, 5201), socket_to(40003, 22, "10.0.9.9")};
  auto plans = world.look_and_grant();
  REQUIRE(plans.size() == 2);
  CHECK(plans[0].pairs == Pairs{{40001, 5201}, {40002, 5201}});
  CHECK(plans[1].pairs == Pairs{{40003, 22}});
  CHECK(world.cover.count() == std::map<State, std::uint64_t>{{State::covered, 3}});
  CHECK(world.look_and_grant().empty());
}

TEST_CASE("cover: who comes back to a port is asked for from any port, and is never late again") {
  World world;
  world.there = {socket_to(40001, 5201)};
  world.look_and_grant();
  world.there.push_back(socket_to(40002, 5201));
  world.look();
  auto plan = world.cover.next();
  REQUIRE(plan.has_value());
  CHECK(plan->pairs == Pairs{{0, 5201}});
  CHECK(plan->notes.size() == 1);
  world.cover.cover(*plan, world.now + 7);
  CHECK(world.cover.sockets()[1].late_ns == 7);

  world.there.push_back(socket_to(40003, 5201));
  CHECK(world.look_and_grant().empty());
  CHECK(world.cover.sockets()[2].state == State::covered);
  CHECK(world.cover.sockets()[2].late_ns == 0);
}

TEST_CASE("cover: a server's connections share its own port") {
  World world;
  world.there = {socket_to(5201, 40001)};
  world.look_and_grant();
  world.there.push_back(socket_to(5201, 40002));
  auto plans = world.look_and_grant();
  REQUIRE(plans.size() == 1);
  CHECK(plans[0].pairs == Pairs{{5201, 0}});
}

TEST_CASE("cover: pairs to any port that cross do not stand in one grant") {
  World world;
  world.there = {socket_to(40001, 5201), socket_to(7000, 40009)};
  world.look_and_grant();
  world.there.push_back(socket_to(40002, 5201));
  world.there.push_back(socket_to(7000, 40010));
  auto plans = world.look_and_grant();
  REQUIRE(plans.size() == 1);
  CHECK(plans[0].pairs == Pairs{{0, 5201}, {7000, 40010}});
}

TEST_CASE("cover: connections that are each too short are caught at the third") {
  World world;
  world.there = {socket_to(40001, 80)};
  world.look();
  world.there = {};
  CHECK(world.look_and_grant().empty());  // once is no habit
  world.there = {socket_to(40002, 80)};
  world.look();
  world.there = {};
  world.look();
  auto plans = world.grant_all();
  REQUIRE(plans.size() == 1);
  CHECK(plans[0].pairs == Pairs{{0, 80}});
  world.there = {socket_to(40003, 80)};
  world.look();
  const auto counts = world.cover.count();
  CHECK(counts.at(State::ended) == 2);
  CHECK(counts.at(State::covered) == 1);
}

TEST_CASE("cover: a peer with ever new ports gets five grants, the last for everything") {
  World world;
  std::vector<Plan> all;
  for (std::uint16_t port = 0; port < 40; ++port) {
    world.there.push_back(socket_to(static_cast<std::uint16_t>(40000 + port),
                                    static_cast<std::uint16_t>(50000 + port)));
    for (auto& plan : world.look_and_grant()) all.push_back(plan);
  }
  REQUIRE(all.size() == Cover::kRunsOfGroup);
  CHECK(all.back().pairs == Pairs{{0, 0}});
  CHECK(world.cover.count().at(State::covered) == 40);
}

TEST_CASE("cover: runs have a limit, and what is beyond it is counted") {
  World world;
  for (int host = 1; host <= 20; ++host)
    world.there.push_back(socket_to(static_cast<std::uint16_t>(40000 + host), 80,
                                    ("10.1.0." + std::to_string(host)).c_str()));
  CHECK(world.look_and_grant().size() == Cover::kRunsMost);
  CHECK(world.cover.count().at(State::refused) == 4);
  world.there.push_back(socket_to(41000, 80, "10.2.0.1"));
  CHECK(world.look_and_grant().empty());
  CHECK(world.cover.count().at(State::refused) == 5);
}

TEST_CASE("cover: sockets have a limit, and each beyond it is counted once") {
  World world;
  for (std::size_t index = 0; index < Cover::kSocketsMost + 3; ++index)
    world.there.push_back(socket_to(static_cast<std::uint16_t>(index + 1), 80));
  world.look();
  world.look();
  CHECK(world.cover.sockets().size() == Cover::kSocketsMost);
  CHECK(world.cover.not_kept() == 3);
}

TEST_CASE("cover: no grant for a resolver's question, none without a peer, none to this host") {
  World world;
  auto question = socket_to(40001, 53, "10.0.0.53", IPPROTO_UDP);
  auto open = socket_to(40002, 0, "::", IPPROTO_UDP);
  world.there = {question, open, socket_to(40003, 80, "127.0.0.1"),
                 socket_to(40004, 80, "10.0.0.1")};
  CHECK(world.look_and_grant().empty());
  world.there.erase(world.there.begin());
  CHECK(world.look_and_grant().empty());
  const auto counts = world.cover.count();
  CHECK(counts.at(State::ended) == 1);
  CHECK(counts.at(State::open) == 1);
  CHECK(counts.at(State::local) == 2);

  world.there = {question};  // a long one, and the open one connects
  world.there[0].cookie = 1;
  open.remote = *Address::parse("10.0.2.2");
  open.remote_port = 9999;
  world.there.push_back(open);
  world.look();
  CHECK(world.look_and_grant().size() == 2);
}

TEST_CASE("cover: what could not be granted is not asked for again") {
  World world;
  world.there = {socket_to(40001, 80)};
  world.look();
  world.cover.give_up(*world.cover.next());
  world.there.push_back(socket_to(40002, 80));
  CHECK(world.look_and_grant().empty());
  CHECK(world.cover.count().at(State::refused) == 2);
}
