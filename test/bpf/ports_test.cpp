// SPDX-License-Identifier: Apache-2.0
// Which interfaces can be ports, what is said of those that cannot, and what happens to a port
// whose interface goes and comes back.
#include <bpf/bpf.h>

#include <set>

#include "bench.h"
#include "source_network.h"

namespace fieldline {

using namespace packets;
using source::Options;
using source::Source;

TEST_CASE(
    "An interface that carries something of its own is refused with the command that mends it") {
  OwnNetwork network;
  struct Case {
    std::string spoil, said, mend;
  };
  const auto now = GENERATE(
      Case{"ip address add 192.0.2.1/24 dev tap0", "192.0.2.1/24", "ip address flush dev tap0"},
      Case{"ip address add 2001:db8::1/64 dev tap0 nodad", "2001:db8::1/64",
           "ip address flush dev tap0"},
      Case{"ip route add 198.51.100.0/24 dev tap0", "198.51.100.0/24",
           "ip -4 route flush dev tap0"},
      Case{"ip -6 route add 2001:db8:5::/64 dev tap0", "2001:db8:5::/64",
           "ip -6 route flush dev tap0"},
      Case{"ip link add bridge0 type bridge && ip link set dev tap0 master bridge0", "bridge0",
           "ip link set dev tap0 nomaster"},
      Case{"ip link add link tap0 name mac0 type macvlan", "carries mac0;",
           "ip link delete dev mac0"},
      Case{"ip link set dev tap0 down", "is down", "ip link set dev tap0 up"});
  shell(now.spoil);
  const std::string said = refusal_of(small({"tap0"}));
  CAPTURE(said);
  CHECK(said.find(now.said) != std::string::npos);
  REQUIRE(said.find(now.mend) != std::string::npos);
  CHECK(output_of("ip link show dev tap0").find("xdp") == std::string::npos);
  // The command does what it promises.
  shell(now.mend);
  must_open(small({"tap0"}));
}

TEST_CASE(
    "A second sensor on a port is refused, and a later port's refusal undoes the earlier ones") {
  OwnNetwork network;
  auto first = must_open(small({"tap1"}));
  const std::string said = refusal_of(small({"tap0", "tap1"}));
  CHECK(said.find("port tap1") != std::string::npos);
  CHECK(said.find("another fieldlined has this port") != std::string::npos);
  CHECK(output_of("ip link show dev tap0").find("xdp") == std::string::npos);
  first.reset();
  must_open(small({"tap0", "tap1"}));
  Options in_path = small({});
  in_path.in_path = {"tap0"};
  auto beside = must_open(in_path);
  CHECK(refusal_of(in_path).find("port tap0 in: interface tap0: another fieldlined has") !=
        std::string::npos);
}

TEST_CASE("A port that has another XDP program already is refused with what removes it") {
  OwnNetwork network;
  const bpf_insn pass[] = {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_PASS},
                           {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
  Fd program(bpf_prog_load(BPF_PROG_TYPE_XDP, "other", "GPL", pass, 2, nullptr));
  REQUIRE(program);
  Fd link(
      bpf_link_create(program.get(), static_cast<int>(if_nametoindex("tap0")), BPF_XDP, nullptr));
  REQUIRE(link);
  const std::string said = refusal_of(small({"tap0"}));
  CHECK(said.find("another XDP program") != std::string::npos);
  CHECK(said.find("ip link set dev tap0 xdp off") != std::string::npos);
}

TEST_CASE("A bridge in the path stands for its members, and is refused as a tap") {
  OwnNetwork network;
  shell("ip link add bridge0 type bridge");
  CHECK(refusal_of(small({"bridge0"})).find("is a bridge: a tap would consume") !=
        std::string::npos);
  Options options = small({});
  options.in_path = {"bridge0"};
  CHECK(refusal_of(options).find("without members. Run: ip link set dev") != std::string::npos);
  shell("ip link set dev tap0 master bridge0 && ip link set dev tap1 master bridge0");
  auto source = must_open(options);
  std::vector<std::string> names;
  for (const auto& port : source->ports()) names.push_back(port.name);
  CHECK(names == std::vector<std::string>{"tap0 in", "tap0 out", "tap1 in", "tap1 out"});
  source.reset();
  options.in_path = {"bridge0", "tap1"};
  CHECK(refusal_of(options).find("interface tap1 is listed twice") != std::string::npos);
}

// Hidden: for kernels with bonding, as test/qemu's.
TEST_CASE("A bond stands for its members, as a tap and in the path", "[.][bond]") {
  OwnNetwork network;
  shell("ip link add bond0 type bond mode balance-xor && ip link set dev bond0 addrgenmode none");
  for (const std::string tap : {"tap0", "tap1"})
    shell("ip link set dev " + tap + " down && ip link set dev " + tap + " master bond0");
  shell("ip link set dev bond0 up");
  auto source = must_open(small({"bond0"}));
  REQUIRE(source->ports().size() == 2);
  CHECK(source->ports()[1].name == "tap1");
  Wire("wire1").send(ethernet(kIpv4, ipv4({}, tcp({}, filler(200)))));
  wait_for_packets(*source, 1, 1);
  source.reset();
  shell("ip address add 192.0.2.1/24 dev bond0");
  CHECK(refusal_of(small({"bond0"})).find("ip address flush dev bond0") != std::string::npos);
  Options options = small({});
  options.in_path = {"bond0"};
  source = must_open(options);
  CHECK(source->ports().size() == 4);
  Wire("wire0").send(ethernet(kIpv4, ipv4({}, tcp({}, filler(200)))));
  wait_for_packets(*source, 0, 1);
}

TEST_CASE("Four taps are one sensor: each counts its own, and one flow table serves all") {
  OwnNetwork network(4);
  auto source = must_open(small({"tap0", "tap1", "tap2", "tap3"}));
  REQUIRE(source->apply({default_entry(5)}).has_value());
  const Bytes frame = ethernet(kIpv4, ipv4({}, tcp({}, filler(200))));
  for (std::uint16_t port = 0; port < 4; ++port) {
    const std::string name = "wire" + std::to_string(port);
    for (int i = 0; i <= port; ++i) Wire(name.c_str()).send(frame);
    wait_for_packets(*source, port, port + 1u);
  }
  std::vector<int> lifted(4);
  auto drained =
      source->drain_headers([&](const fl_lift& lift, ByteView) { ++lifted.at(lift.port); });
  REQUIRE(drained.has_value());
  CHECK(lifted == std::vector<int>{1, 2, 3, 4});
  CHECK(source->flow_counters(5)->packets == 10);
}

TEST_CASE("A tap of several queues is one port, and each record says by which it came") {
  OwnNetwork network(0);
  shell(
      "ip link add wire0 numtxqueues 4 numrxqueues 4 type veth peer name tap0 numtxqueues 4 "
      "numrxqueues 4");
  for (const std::string name : {"wire0", "tap0"})
    shell("ip link set dev " + name + " addrgenmode none && ip link set dev " + name + " up");
  auto source = must_open(small({"tap0"}));
  const auto any =
      entry(key_of("192.0.2.1", "198.51.100.2", kTcp, 0, 443), any_port_mask(true, false), 5);
  REQUIRE(source->apply({any}).has_value());
  const Wire wire("wire0");
  for (std::uint16_t port = 1; port <= 64; ++port)
    wire.send(ethernet(kIpv4, ipv4({}, tcp({.sport = port}, filler(20)))));
  wait_for_packets(*source, 0, 64);
  std::set<int> queues;
  auto drained =
      source->drain_headers([&](const fl_lift& lift, ByteView) { queues.insert(lift.queue); });
  REQUIRE(drained.has_value());
  CHECK(*drained == 64);
  CHECK(queues.size() > 1);
  CHECK(*queues.rbegin() < 4);
}

TEST_CASE("A driver that refuses native XDP as it is set is read by tc, and what it said is told") {
  OwnNetwork network(0);
  // A veth has to have as many receive queues as its peer has to send by.
  shell(
      "ip link add wire0 numtxqueues 4 numrxqueues 1 type veth peer name tap0 numtxqueues 1 "
      "numrxqueues 1");
  for (const std::string name : {"wire0", "tap0"})
    shell("ip link set dev " + name + " addrgenmode none && ip link set dev " + name + " up");
  auto source = must_open(small({"tap0"}));
  CHECK(source->ports()[0].attachment != "native XDP");
  const std::string remark = source->ports()[0].remark;
  CAPTURE(remark);
  CHECK(remark.find("at its present settings (No space left on device; see dmesg") !=
        std::string::npos);
  REQUIRE(source->apply({default_entry(5)}).has_value());
  Wire("wire0").send(ethernet(kIpv4, ipv4({}, tcp({}, filler(200)))));
  wait_for_packets(*source, 0, 1);
  CHECK(source->flow_counters(5)->lifted == 1);
}

TEST_CASE("A port whose interface goes takes nobody with it, and goes on when it is back") {
  OwnNetwork network;
  auto source = must_open(small({"tap0", "tap1"}));
  REQUIRE(source->apply({default_entry(5)}).has_value());
  const Bytes frame = ethernet(kIpv4, ipv4({}, tcp({}, filler(200))));
  Wire("wire0").send(frame);
  wait_for_packets(*source, 0, 1);
  CHECK(source->follow_links().empty());

  pollfd told{source->links_fd(), POLLIN, 0};
  shell("ip link delete dev tap0");
  REQUIRE(poll(&told, 1, 2000) == 1);
  const auto gone = source->follow_links();
  REQUIRE(gone.size() == 1);
  CHECK(gone[0].find("port tap0: interface tap0 is gone") != std::string::npos);
  CHECK(source->ports()[0].attachment.empty());
  CHECK(source->follow_links().empty());
  Wire("wire1").send(frame);
  wait_for_packets(*source, 1, 1);

  OwnNetwork::add(0);
  // It came down first, and was refused until it was up: the reason is said once.
  for (int i = 0; i < 2000 && source->ports()[0].attachment.empty(); ++i) {
    source->follow_links();
    poll(&told, 1, 1);
  }
  CHECK(source->ports()[0].attachment == "native XDP");
  CHECK(source->ports()[0].remark.empty());
  Wire("wire0").send(frame);
  wait_for_packets(*source, 0, 2);
  CHECK(source->flow_counters(5)->packets == 3);
}

TEST_CASE("A port that came back with an address stays away, and the reason is said once") {
  OwnNetwork network;
  auto source = must_open(small({"tap0", "tap1"}));
  shell("ip link delete dev tap0");
  CHECK(source->follow_links().size() == 1);
  OwnNetwork::add(0);
  shell("ip address add 192.0.2.1/24 dev tap0");
  const auto refused = source->follow_links();
  REQUIRE(refused.size() == 1);
  CHECK(refused[0].find("ip address flush dev tap0") != std::string::npos);
  CHECK(source->follow_links().empty());
  shell("ip address flush dev tap0");
  const auto back = source->follow_links();
  REQUIRE(back.size() == 1);
  CHECK(back[0] == "port tap0: is back: native XDP");
}

TEST_CASE("A macvlan on another namespace's interface does not stand on the tap of that index") {
  OwnNetwork network;
  // In the other namespace, which lasts as long as its shell, an interface gets tap0's index.
  const std::string index = std::to_string(if_nametoindex("tap0"));
  const std::string make = "ip link add low index " + index +
                           " type veth peer name other index 77 && ip link add link low name mac9 "
                           "type macvlan && ip link set dev mac9 netns " +
                           std::to_string(getpid());
  FILE* other = popen(("unshare --net sh -c '" + make + " && cat'").c_str(), "w");
  REQUIRE(other != nullptr);
  for (int i = 0; i < 5000 && if_nametoindex("mac9") == 0; ++i) poll(nullptr, 0, 1);
  CHECK(if_nametoindex("mac9") != 0);
  must_open(small({"tap0"}));
  REQUIRE(pclose(other) == 0);
}

TEST_CASE("A member that joins a bundle is told, because it is no port until the next start") {
  OwnNetwork network;
  shell("ip link add bridge0 type bridge && ip link set dev tap0 master bridge0");
  Options options = small({});
  options.in_path = {"bridge0"};
  auto source = must_open(options);
  REQUIRE(source->ports().size() == 2);
  shell("ip link set dev tap1 master bridge0");
  const std::string told =
      "bridge0 has a new member, tap1, of which no packet is seen: restart fieldlined";
  CHECK(source->follow_links() == std::vector{told});
  CHECK(source->ports()[0].remark == told);
  CHECK(source->follow_links().empty());
  shell("ip link set dev tap1 nomaster");
  CHECK(source->follow_links().empty());
  CHECK(source->ports()[0].remark.empty());
}

TEST_CASE("A tap that is given something of its own consumes nothing that is meant for it") {
  OwnNetwork network;
  auto source = must_open(small({"tap0", "tap1"}));
  for (const auto& [give, mend, take] :
       {std::tuple{"ip address add 192.0.2.1/24 dev tap0", "ip address flush dev tap0",
                   "ip address flush dev tap0"},
        std::tuple{"ip link add br0 type bridge && ip link set dev tap0 master br0",
                   "ip link set dev tap0 nomaster",
                   "ip link set dev tap0 nomaster && ip link delete dev br0"},
        std::tuple{"ip link add link tap0 name mac0 type macvlan", "ip link delete dev mac0",
                   "ip link delete dev mac0"}}) {
    CAPTURE(give);
    shell(give);
    const auto let_go = source->follow_links();
    REQUIRE(let_go.size() == 1);
    CHECK(let_go[0].find("let go: port tap0: ") == 0);
    CHECK(let_go[0].find(mend) != std::string::npos);
    CHECK(source->ports()[0].attachment.empty());
    CHECK(source->ports()[0].remark.find(mend) != std::string::npos);
    CHECK(source->ports()[1].attachment == "native XDP");
    CHECK(source->follow_links().empty());
    shell(take);
    const auto back = source->follow_links();
    REQUIRE(back.size() == 1);
    CHECK(back[0] == "port tap0: is back: native XDP");
    CHECK(source->ports()[0].remark.empty());
  }
}

TEST_CASE("A driver's counters of drops are told by their names, and ours are none") {
  for (const char* name :
       {"rx_missed_errors", "rx_no_buffer_count", "rx_out_of_buffer", "rx_dropped",
        "rx_discards_phy", "port.rx_dropped", "rx_queue_3_drops"}) {
    CAPTURE(name);
    CHECK(source::counts_drops(name));
  }
  for (const char* name :
       {"rx_packets", "tx_dropped", "rx_queue_0_xdp_drops", "rx_bytes", "collisions"}) {
    CAPTURE(name);
    CHECK_FALSE(source::counts_drops(name));
  }
  using source::NicDrops;
  const NicDrops before{{{"rx_dropped", 5}}, {{"rx_queue_N_drops", 7}}};
  const NicDrops now{{{"rx_dropped", 6}}, {{"rx_queue_N_drops", 3}}};
  // It began anew: what it has now came since.
  CHECK(now.since(before).kernel.at("rx_dropped") == 1);
  CHECK(now.since(before).driver.at("rx_queue_N_drops") == 3);
  CHECK(now.since(before).total() == 3);
}

TEST_CASE("Options that cannot be met are refused before anything is touched") {
  OwnNetwork network;
  CHECK(refusal_of(small({})).find("no port") != std::string::npos);
  CHECK(refusal_of(small({"tap0", "tap0"})).find("twice") != std::string::npos);
  CHECK(refusal_of(small({"none0"})).find("no interface none0") != std::string::npos);
  CHECK(refusal_of({{"tap0"}, 5000, 1 << 14, 64, {}}).find("power of two") != std::string::npos);
  CHECK(refusal_of({{"tap0"}, 1 << 16, 1024, 64, {}}).find("power of two") != std::string::npos);
  CHECK(refusal_of({{"tap0"}, 1 << 16, 1 << 14, 0, {}}).find("max_flows") != std::string::npos);
  std::vector<std::string> many;
  for (unsigned i = 0; i <= FL_PORTS_MAX; ++i) many.push_back("none" + std::to_string(i));
  CHECK(refusal_of(small(many)).find("at most 64") != std::string::npos);
  CHECK(refusal_of({{"tap0"}, 1 << 16, 1 << 14, 64, {"tap0"}}).find("twice") != std::string::npos);
}

}  // namespace fieldline
