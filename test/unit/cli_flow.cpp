// SPDX-License-Identifier: Apache-2.0
#include "cli_result.h"

#include <netinet/in.h>

#include <random>

#include "cli/flow_spec.h"
#include "cli/ping.h"
#include "cli/plan.h"

using namespace fieldline;
using namespace fieldline::cli;
using sense::PortPair;

namespace {

Address address(const char* text) {
  return *Address::parse(text);
}

Socket socket_of(std::uint16_t local_port, std::uint16_t remote_port) {
  Socket socket;
  socket.protocol = IPPROTO_TCP;
  socket.local = address("10.0.0.1");
  socket.remote = address("10.0.3.2");
  socket.local_port = local_port;
  socket.remote_port = remote_port;
  return socket;
}

}  // namespace

TEST_CASE("A flow is written as ss and tcpdump print it") {
  struct Case {
    const char* text;
    const char* means;
  };
  for (const Case& one : std::initializer_list<Case>{
           {"tcp", "tcp:*:*-*:*"},
           {"udp:53", "udp:*:*-*:53"},
           {"tcp::53", "tcp:*:*-*:53"},
           {"tcp:*:5201-*", "tcp:*:5201-*:*"},
           {"tcp:5201-*", "tcp:*:5201-*:*"},
           {"tcp:10.0.3.2", "tcp:*:*-10.0.3.2:*"},
           {"tcp:10.0.3.2:5201", "tcp:*:*-10.0.3.2:5201"},
           {"tcp:10.0.0.1:43122-10.0.3.2:5201", "tcp:10.0.0.1:43122-10.0.3.2:5201"},
           {"tcp:10.0.0.1.43122 > 10.0.3.2.5201", "tcp:10.0.0.1:43122-10.0.3.2:5201"},
           {" tcp: 10.0.0.1:* - *:5201 ", "tcp:10.0.0.1:*-*:5201"},
           {"udp:[2001:db8::1]:7000-[2001:db8::2]", "udp:[2001:db8::1]:7000-[2001:db8::2]:*"},
           {"udp:2001:db8::1-2001:db8::2.9000", "udp:[2001:db8::1]:*-[2001:db8::2]:9000"},
           {"icmp", "icmp:*:*-*:*"},
           {"icmp6:2001:db8::1-*", "icmp6:[2001:db8::1]:*-*:*"},
       }) {
    CAPTURE(one.text);
    auto spec = FlowSpec::parse(one.text);
    REQUIRE(spec);
    CHECK(spec->to_string() == one.means);
    CHECK(*FlowSpec::parse(spec->to_string()) == *spec);
  }
}

TEST_CASE("What is not a flow is refused with the forms that are") {
  for (const char* bad : {"",
                          " ",
                          "sctp",
                          "tcp:",
                          "tcp:65536",
                          "tcp:-1-2-3",
                          "tcp:10.0.0.0/8",
                          "tcp:10.0.0.1:x",
                          "tcp:host:1",
                          "tcp:[2001:db8::1",
                          "tcp:[2001:db8::1]9",
                          "tcp:[]x",
                          "tcp:2001:db8::1:5201-bad:",
                          "icmp:7",
                          "tcp:10.0.0.1-2001:db8::1",
                          "tcp:1.2.3.4.5.6",
                          "TCP",
                          "tcp:99999999999999999999",
                          "tcp:+80",
                          "tcp: 8 0"}) {
    CAPTURE(bad);
    auto spec = FlowSpec::parse(bad);
    REQUIRE_FALSE(spec);
    CHECK_THAT(spec.error().context, Catch::Contains("write tcp"));
  }
  CHECK_FALSE(FlowSpec::parse(std::string(100'000, ':')));
}

TEST_CASE("Random flow text never crashes the parser") {
  std::mt19937 random(1);
  const std::string alphabet = "tcpudi6m:.*[]->0129af /%\t\xff";
  for (int round = 0; round < 200'000; ++round) {
    std::string text = round % 2 == 0 ? "tcp:" : "";
    for (auto length = random() % 24; length > 0; --length)
      text += alphabet[random() % alphabet.size()];
    auto spec = FlowSpec::parse(text);
    if (spec) REQUIRE(FlowSpec::parse(spec->to_string()));
  }
}

TEST_CASE("A flow becomes a query's filter") {
  auto flow = FlowSpec::parse("tcp:10.0.0.1-10.0.3.2:5201")->to_query();
  CHECK(flow ==
        nlohmann::json({{"protocol", 6}, {"a", "10.0.0.1"}, {"b", "10.0.3.2"}, {"port_b", 5201}}));
}

TEST_CASE("Flows of the same hosts and protocol share a grant") {
  std::vector<FlowSpec> specs{*FlowSpec::parse("tcp:5201"), *FlowSpec::parse("tcp:80"),
                              *FlowSpec::parse("udp")};
  auto plans = plan_flows(specs, {address("10.0.3.2")}, address("10.0.0.1"));
  REQUIRE(plans);
  REQUIRE(plans->size() == 2);
  CHECK((*plans)[0].pairs == std::vector<PortPair>{{0, 80}, {0, 5201}});
  CHECK((*plans)[0].local == address("10.0.0.1"));
  CHECK((*plans)[1].protocol == IPPROTO_UDP);

  CHECK_FALSE(
      plan_flows({*FlowSpec::parse("tcp:10.9.9.9")}, {address("10.0.3.2")}, address("10.0.0.1")));
  CHECK_FALSE(plan_flows({*FlowSpec::parse("tcp")}, {address("10.0.3.2")}, address("2001:db8::1")));
  auto icmp6 =
      plan_flows({*FlowSpec::parse("icmp")}, {address("2001:db8::2")}, address("2001:db8::1"));
  CHECK(icmp6->front().protocol == IPPROTO_ICMPV6);
}

TEST_CASE("The local address is the one that the kernel would send from") {
  auto plans = plan_flows({*FlowSpec::parse("tcp:5201")}, {address("127.0.0.1")}, {});
  REQUIRE(plans);
  CHECK(plans->front().local == address("127.0.0.1"));
}

TEST_CASE("More than 32 port pairs become any-port for the service's port, and that is said") {
  std::vector<PortPair> pairs;
  for (std::uint16_t i = 0; i < 40; ++i)
    pairs.push_back({static_cast<std::uint16_t>(40000 + i), 5201});
  pairs.push_back({5555, 22});
  std::vector<std::string> notes;
  auto few = condense(pairs, notes);
  CHECK(few == std::vector<PortPair>{{5555, 22}, {0, 5201}});
  REQUIRE(notes.size() == 1);
  CHECK_THAT(notes[0], Catch::Contains("any local port to remote port 5201"));

  pairs.clear();
  for (std::uint16_t i = 0; i < 33; ++i)
    pairs.push_back({443, static_cast<std::uint16_t>(50000 + i)});
  notes.clear();
  CHECK(condense(pairs, notes) == std::vector<PortPair>{{443, 0}});

  pairs.clear();
  for (std::uint16_t i = 1; i <= 33; ++i)
    pairs.push_back({i, static_cast<std::uint16_t>(1000 + i)});
  notes.clear();
  CHECK(condense(pairs, notes) == std::vector<PortPair>{{0, 0}});
  REQUIRE(notes.size() == 1);
  pairs.resize(32);
  notes.clear();
  CHECK(condense(pairs, notes).size() == 32);
  CHECK(notes.empty());
}

TEST_CASE("Only sockets that no run covers ask for a further grant") {
  std::vector<Socket> sockets{socket_of(1000, 5201), socket_of(1001, 5201)};
  sockets[0].tos = 0x2a;  // DSCP 10 with an ECN bit
  sockets[1].tos = 0x28;
  auto plans = plan_sockets(sockets, {});
  REQUIRE(plans.size() == 1);
  CHECK(plans[0].pairs == std::vector<PortPair>{{1000, 5201}, {1001, 5201}});
  CHECK(plans[0].traffic_class == 0x28);
  CHECK(plan_sockets(sockets, plans).empty());

  sockets.push_back(socket_of(1002, 5201));
  sockets.push_back(socket_of(1000, 5201));
  sockets.back().protocol = IPPROTO_UDP;
  auto more = plan_sockets(sockets, plans);
  REQUIRE(more.size() == 2);
  CHECK(more[0].pairs == std::vector<PortPair>{{1002, 5201}});
  CHECK(more[1].protocol == IPPROTO_UDP);

  plans[0].pairs = {{0, 5201}};
  CHECK(plan_sockets({socket_of(9, 5201)}, plans).empty());
  CHECK(plan_sockets({socket_of(9, 5202)}, plans).size() == 1);
}

TEST_CASE("Pulses come at 0, 200 and 500 ms and then in even steps") {
  constexpr std::uint64_t ms = 1'000'000;
  CHECK(next_pulse_ns(0, 1000 * ms) == 200 * ms);
  CHECK(next_pulse_ns(201 * ms, 1000 * ms) == 500 * ms);
  CHECK(next_pulse_ns(500 * ms, 1000 * ms) == 1000 * ms);
  CHECK(next_pulse_ns(1000 * ms, 1000 * ms) == 2000 * ms);
  CHECK(next_pulse_ns(7300 * ms, 1000 * ms) == 8000 * ms);  // a stall is not made up for
  CHECK(next_pulse_ns(0, 100 * ms) == 100 * ms);
}
