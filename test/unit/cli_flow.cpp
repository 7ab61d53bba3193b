// SPDX-License-Identifier: Apache-2.0
#include "cli_result.h"

#include <netinet/in.h>

#include <algorithm>
#include <random>

#include "cli/flow_spec.h"
#include "cli/ping.h"
#include "cli/plan.h"
#include "cli/run_grant.h"
#include "sense/activation.h"

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

// What a sensor says to a grant of this plan: "" if it is accepted, and no packet is of two flows.
std::string objection_to(const Plan& plan) {
  constexpr std::uint64_t second = 1'000'000'000, now = 1'800'000'000 * second;
  sense::Accepted accepted;
  auto& grant = accepted.trigger.grant;
  grant.protocol = plan.protocol;
  grant.pairs = plan.pairs;
  grant.host_a = plan.host_a();
  grant.host_b = plan.host_b();
  accepted.trigger.pulse = {1, now, now + 10 * second};
  accepted.decision.not_after_ns = now + 60 * second;
  sense::ActivationTable table;
  auto outcome = table.apply(accepted, now, second);
  const auto* refusal = std::get_if<sense::Refusal>(&outcome);
  if (refusal == nullptr) return table.find(grant.run)->overlap ? "overlap" : "";
  return sense::name_of(refusal->reason) + (": " + refusal->detail);
}

bool covered(const std::vector<PortPair>& pairs, const PortPair& wanted) {
  return std::any_of(pairs.begin(), pairs.end(), [&](const PortPair& pair) {
    return (pair.a == 0 || pair.a == wanted.a) && (pair.b == 0 || pair.b == wanted.b);
  });
}

}  // namespace

TEST_CASE("Flows of SCTP, UDP-Lite and ESP are written like others, an association by its SPI") {
  CHECK(FlowSpec::parse("sctp:5000")->to_string() == "sctp:*:*-*:5000");
  CHECK(FlowSpec::parse("udplite:7000-*")->local_port == 7000);
  const auto every = FlowSpec::parse("esp");
  CHECK(every->protocol == IPPROTO_ESP);
  CHECK(every->local_port == 0);
  for (const char* text : {"esp:0x12345678", "esp:305419896"}) {
    const auto one = FlowSpec::parse(text);
    REQUIRE(one.has_value());
    CHECK(one->local_port == 0x1234);
    CHECK(one->remote_port == 0x5678);
    CHECK(one->to_string() == "esp:0x12345678");
  }
  for (const char* text : {"esp:0", "esp:256", "esp:0x10000", "esp:0x1ffffffff", "esp:x", "esp:"}) {
    CAPTURE(text);
    CHECK(FlowSpec::parse(text).has_error());
  }
}

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
           {"tcp:10.0.0.0/8", "tcp:*:*-10.0.0.0/8:*"},
           {"tcp:10.0.0.0/24-10.0.3.0/24:443", "tcp:10.0.0.0/24:*-10.0.3.0/24:443"},
           {"udp:[2001:db8::/64]:53-2001:db8:1::/48", "udp:[2001:db8::/64]:53-[2001:db8:1::/48]:*"},
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
                          "dccp",
                          "tcp:",
                          "tcp:65536",
                          "tcp:-1-2-3",
                          "tcp:10.0.0.1/8",
                          "tcp:10.0.0.0/33",
                          "tcp:10.0.0.0/",
                          "tcp:10.0.0.0/8:x",
                          "tcp:[2001:db8::/64]-10.0.0.0/8",
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

TEST_CASE("A flow of networks needs both ends of the trigger in them, and is a grant of its own") {
  const Address host = address("10.0.3.2"), own = address("10.0.0.1");
  auto plan = [&](const char* text, std::optional<Address> source) {
    return plan_flows({*FlowSpec::parse(text)}, {address("2001:db8::2"), host}, source);
  };
  auto plans = plan("tcp:10.0.0.0/24-10.0.3.0/24:443", own);
  REQUIRE(plans);
  CHECK(plans->front().local == own);
  CHECK(plans->front().remote == host);
  CHECK(plans->front().host_a() == *Prefix::parse("10.0.0.0/24"));
  CHECK(plans->front().host_b() == *Prefix::parse("10.0.3.0/24"));
  CHECK(plans->front().to_string() == "tcp 10.0.0.0/24:* - 10.0.3.0/24:443");
  CHECK(objection_to(plans->front()) == "");
  Socket neighbour = socket_of(1, 443);
  neighbour.local = address("10.0.0.77");
  CHECK(plans->front().covers(neighbour));
  neighbour.remote = address("10.0.4.2");
  CHECK_FALSE(plans->front().covers(neighbour));

  CHECK_FALSE(plan("tcp:10.0.0.0/24-10.0.4.0/24:443", own));
  CHECK_FALSE(plan("tcp:10.0.1.0/24-10.0.3.0/24:443", own));
  CHECK_FALSE(plan("tcp:10.0.1.0/24-*:443", own));
  REQUIRE(plan("tcp:*-[2001:db8::/64]:443", address("2001:db8::1")));

  auto mixed = plan_flows({*FlowSpec::parse("tcp:443"), *FlowSpec::parse("tcp:*-10.0.3.0/24:443"),
                           *FlowSpec::parse("tcp:*-10.0.3.0/24:80")},
                          {host}, own);
  REQUIRE(mixed);
  REQUIRE(mixed->size() == 2);
  CHECK((*mixed)[1].pairs == std::vector<PortPair>{{0, 80}, {0, 443}});
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

TEST_CASE("Many flows that share a remote and a local port make a grant that sensors accept") {
  struct Case {
    int to_service, from_service;  // flows to the host's port 5201, and from our own port 22
    std::vector<PortPair> first;   // what must come out, in front
  };
  for (const Case& one : {Case{40, 5, {{22, 50000}}}, Case{5, 40, {{40000, 5201}}},
                          Case{40, 40, {{0, 0}}}, Case{20, 20, {}}}) {
    CAPTURE(one.to_service, one.from_service);
    std::vector<Socket> sockets{socket_of(22, 5201)};  // of both
    for (int i = 0; i < one.to_service; ++i)
      sockets.push_back(socket_of(static_cast<std::uint16_t>(40000 + i), 5201));
    for (int i = 0; i < one.from_service; ++i)
      sockets.push_back(socket_of(22, static_cast<std::uint16_t>(50000 + i)));
    auto plans = plan_sockets(sockets, {});
    REQUIRE(plans.size() == 1);
    CHECK(objection_to(plans[0]) == "");
    CHECK(plans[0].pairs.size() <= FL_GRANT_PAIRS_MAX);
    CHECK_FALSE(plans[0].notes.empty());
    for (const auto& pair : one.first)
      CHECK(std::count(plans[0].pairs.begin(), plans[0].pairs.end(), pair) == 1);
    for (const auto& socket : sockets) CHECK(plans[0].covers(socket));
  }
}

TEST_CASE("Random flows condense to a grant that covers them all and that sensors accept") {
  std::mt19937 random(3);
  Plan plan;
  plan.protocol = IPPROTO_TCP;
  plan.local = address("10.0.0.1");
  plan.remote = address("10.0.3.2");
  for (int round = 0; round < 300; ++round) {
    std::vector<PortPair> pairs;
    for (auto count = random() % 120 + 1; count > 0; --count) {
      pairs.push_back({static_cast<std::uint16_t>(1 + random() % (2 + round % 40)),
                       static_cast<std::uint16_t>(1 + random() % (2 + round % 70))});
      if (round % 3 == 0 && random() % 20 == 0) pairs.back().a = 0;  // as from --flow tcp:PORT
    }
    std::vector<std::string> notes;
    plan.pairs = condense(pairs, notes);
    REQUIRE(plan.pairs.size() <= FL_GRANT_PAIRS_MAX);
    REQUIRE(objection_to(plan) == "");
    for (const auto& pair : pairs) REQUIRE(covered(plan.pairs, pair));
  }
}

TEST_CASE("Named flows that overlap in part get a grant each, and sensors accept both") {
  std::vector<FlowSpec> specs;
  for (const char* text : {"tcp:5201", "tcp:*:22-*", "tcp:80", "tcp:*:25-*", "tcp:*:22-*:5201"})
    specs.push_back(*FlowSpec::parse(text));
  auto plans = plan_flows(specs, {address("10.0.3.2")}, address("10.0.0.1"));
  REQUIRE(plans);
  REQUIRE(plans->size() == 2);
  CHECK((*plans)[0].pairs == std::vector<PortPair>{{0, 80}, {0, 5201}});
  CHECK((*plans)[1].pairs == std::vector<PortPair>{{22, 0}, {25, 0}});
  for (const auto& plan : *plans) CHECK(objection_to(plan) == "");

  // The oracle does object to what was asked for before.
  Plan crossing = plans->front();
  crossing.pairs = {{0, 5201}, {22, 0}};
  CHECK(objection_to(crossing) == "overlap");

  specs.push_back(*FlowSpec::parse("tcp"));
  plans = plan_flows(specs, {address("10.0.3.2")}, address("10.0.0.1"));
  REQUIRE(plans);
  CHECK(plans->front().pairs == std::vector<PortPair>{{0, 0}});
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
