// SPDX-License-Identifier: Apache-2.0
// Triggers on a host's own interface: lifted both ways, and every packet goes on.
#include "source/host_watch.h"

#include <catch2/catch.hpp>
#include <cstdlib>

#include "base/clock.h"
#include "host_network.h"
#include "proto/trigger.h"

namespace fieldline {
namespace {

using source::HostWatch;

struct UdpPair {
  Fd sender, receiver;
  explicit UdpPair(std::uint16_t port) {
    socklen_t size = 0;
    auto address = loopback(AF_INET, port, size);
    receiver = Fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    REQUIRE(bind(receiver.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
    sender = Fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    REQUIRE(connect(sender.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
  }
  // Must arrive: nothing is consumed or altered.
  void pass(const Bytes& payload) {
    REQUIRE(send(sender.get(), payload.data(), payload.size(), 0) ==
            static_cast<ssize_t>(payload.size()));
    Bytes got(2000);
    const ssize_t n = recv(receiver.get(), got.data(), got.size(), 0);
    REQUIRE(n == static_cast<ssize_t>(payload.size()));
    got.resize(static_cast<std::size_t>(n));
    REQUIRE(got == payload);
  }
};

Bytes trigger_bytes(std::size_t size = FL_TRIGGER_MIN) {
  Bytes bytes(size, 0x5a);
  std::copy_n(FL_TRIGGER_MAGIC, FL_TRIGGER_MAGIC_LEN, bytes.begin());
  return bytes;
}

std::unique_ptr<HostWatch> open_watch(bool only_clsact) {
  auto watch = HostWatch::open({{"lo"}, 1u << 14, only_clsact});
  INFO((watch ? std::string() : watch.error().text()));
  REQUIRE(watch.has_value());
  return std::move(*watch);
}

std::string filters() {
  FILE* pipe = popen("tc filter show dev lo ingress; tc filter show dev lo egress", "r");
  std::string text;
  char part[512];
  while (std::size_t size = std::fread(part, 1, sizeof part, pipe)) text.append(part, size);
  pclose(pipe);
  return text;
}

}  // namespace

TEST_CASE("BothWaysOnAnIngressQdisc: its one list of filters is not taken for two") {
  HostNetwork network;
  REQUIRE(std::system("tc qdisc add dev lo ingress") == 0);
  auto watch = HostWatch::open({{"lo"}, 1u << 14, true});
  REQUIRE_FALSE(watch.has_value());
  CHECK(watch.error().text().find("a qdisc of kind ingress has the place of clsact") !=
        std::string::npos);
}

TEST_CASE(
    "A trigger is lifted where it leaves and where it arrives, and goes on; nothing else is") {
  const bool only_clsact = GENERATE(false, true);
  HostNetwork network;
  auto watch = open_watch(only_clsact);
  if (only_clsact) CHECK(std::string(watch->attachment()) == "clsact");
  UdpPair udp(FL_TRIGGER_PORT);
  udp.pass(trigger_bytes());
  udp.pass(Bytes(FL_TRIGGER_MIN, 0x11));
  udp.pass(trigger_bytes(20));  // the magic alone makes no trigger: counted
  std::vector<Bytes> lifted;
  auto drained = watch->drain_triggers([&](const fl_trigger_lift& lift, ByteView bytes) {
    CHECK(lift.port == 0);
    CHECK(lift.outer.dport == htons(FL_TRIGGER_PORT));
    lifted.emplace_back(bytes.begin(), bytes.end());
  });
  REQUIRE(drained.has_value());
  REQUIRE(lifted.size() == 2);
  CHECK(lifted[0] == trigger_bytes());
  CHECK(lifted[1] == trigger_bytes());
  auto counters = watch->port_counters(0);
  REQUIRE(counters.has_value());
  CHECK(counters->triggers == 4);
  CHECK(counters->triggers_bad_length == 2);
  exchange(connect_tcp(AF_INET, 5201), 100'000, 10'000);
}

TEST_CASE("FullTriggerRingPassesOn: packets go on, what was not lifted is counted") {
  HostNetwork network;
  auto watch = open_watch(false);
  UdpPair udp(FL_TRIGGER_PORT);
  for (int i = 0; i < 100; ++i) udp.pass(trigger_bytes(FL_TRIGGER_MAX));
  auto drained = watch->drain_triggers([](const fl_trigger_lift&, ByteView) {});
  REQUIRE(drained.has_value());
  auto counters = watch->port_counters(0);
  REQUIRE(counters.has_value());
  CHECK(counters->triggers == 200);
  CHECK(counters->triggers_dropped_ring > 0);
  CHECK(*drained + counters->triggers_dropped_ring == 200);
}

TEST_CASE("A clsact filter goes with its watch, and one that was left behind is replaced") {
  HostNetwork network;
  {
    auto watch = open_watch(true);
    CHECK(filters().find("fl_host_watch") != std::string::npos);
    // As after a kill: the old one's filters stand when the next comes.
    auto next = open_watch(true);
    UdpPair udp(FL_TRIGGER_PORT);
    udp.pass(trigger_bytes());
    auto old = watch->drain_triggers([](const fl_trigger_lift&, ByteView) {});
    auto fresh = next->drain_triggers([](const fl_trigger_lift&, ByteView) {});
    CHECK(old.value() == 0);
    CHECK(fresh.value() == 2);
  }
  CHECK(filters().find("fl_host_watch") == std::string::npos);
}

TEST_CASE("An interface that cannot be watched is refused by name") {
  HostNetwork network;
  auto none = HostWatch::open({{"none0"}, 1u << 14, false});
  REQUIRE(!none.has_value());
  CHECK(none.error().text().find("no interface none0") != std::string::npos);
  auto twice = HostWatch::open({{"lo", "lo"}, 1u << 14, false});
  REQUIRE(!twice.has_value());
  CHECK(twice.error().text().find("listed twice") != std::string::npos);
  CHECK(!HostWatch::open({{}, 1u << 14, false}).has_value());
}

}  // namespace fieldline
