// SPDX-License-Identifier: Apache-2.0
// Source on real veth pairs: what its ports see, and what they leave behind.
#include <bpf/bpf.h>
#include <sched.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "bench.h"
#include "proto/trigger.h"
#include "source_network.h"

namespace fieldline {

using namespace packets;
using source::Options;
using source::Source;

TEST_CASE("Real packets on two taps are counted and lifted under their ports") {
  OwnNetwork network;
  auto source = must_open(small({"tap0", "tap1"}));
  REQUIRE(source->apply({default_entry(5)}).has_value());
  const Bytes frame = ethernet(kIpv4, ipv4({}, tcp({}, filler(200))));
  Wire wire0("wire0"), wire1("wire1");
  for (int i = 0; i < 10; ++i) wire0.send(frame);
  for (int i = 0; i < 3; ++i) wire1.send(frame);
  wait_for_packets(*source, 0, 10);
  wait_for_packets(*source, 1, 3);
  REQUIRE(source->quiesce().has_value());

  std::vector<int> ports;
  auto drained = source->drain_headers([&](const fl_lift& lift, ByteView bytes) {
    ports.push_back(lift.port);
    CHECK(bytes.size() == 54);
    CHECK(lift.wire_len == frame.size());
  });
  REQUIRE(drained.has_value());
  CHECK(*drained == 13);
  CHECK(std::count(ports.begin(), ports.end(), 1) == 3);
  auto flow = source->flow_counters(5);
  REQUIRE(flow.has_value());
  CHECK(flow->packets == 13);
  CHECK(source->port_counters(2).has_error());
}

TEST_CASE("A trigger on the wire wakes the descriptor") {
  OwnNetwork network;
  auto source = must_open(small({"tap0"}));
  pollfd waiting{source->trigger_fd(), POLLIN, 0};
  CHECK(poll(&waiting, 1, 0) == 0);
  Bytes body(FL_TRIGGER_MIN, 1);
  std::memcpy(body.data(), FL_TRIGGER_MAGIC, FL_TRIGGER_MAGIC_LEN);
  Wire("wire0").send(ethernet(kIpv6, ipv6({.next = kUdp}, udp({}, body))));
  REQUIRE(poll(&waiting, 1, 2000) == 1);
  Bytes got;
  REQUIRE(source
              ->drain_triggers([&](const fl_trigger_lift&, ByteView bytes) {
                got.assign(bytes.begin(), bytes.end());
              })
              .has_value());
  CHECK(got == body);
  CHECK(poll(&waiting, 1, 0) == 0);
}

TEST_CASE("A tap consumes what it sees and is promiscuous while it is open") {
  OwnNetwork network;
  {
    auto source = must_open(small({"tap0"}));
    CHECK(output_of("ip -details link show dev tap0").find("promiscuity 1") != std::string::npos);
    CHECK(output_of("ip link show dev tap0").find("xdp") != std::string::npos);
    // A socket on the tap sees nothing: the packet ends in the classifier.
    const Listener listener("tap0");
    Wire("wire0").send(ethernet(kArp, filler(50)));
    wait_for_packets(*source, 0, 1);
    CHECK_FALSE(listener.hears(0));
  }
  CHECK(output_of("ip -details link show dev tap0").find("promiscuity 0") != std::string::npos);
  CHECK(output_of("ip link show dev tap0").find("xdp") == std::string::npos);
}

TEST_CASE("An interface in the path is two ports, and everything goes on through it") {
  OwnNetwork network;
  Options options = small({});
  options.in_path = {"tap0"};
  shell("ip address add 192.0.2.9/24 dev tap0");  // it is in use
  auto source = must_open(options);
  REQUIRE(source->ports().size() == 2);
  CHECK(source->ports()[0].name == "tap0 in");
  CHECK(source->ports()[1].name == "tap0 out");
  CHECK(source->ports()[0].kind == "veth");
  REQUIRE(source->apply({default_entry(5)}).has_value());
  const Listener behind("tap0"), wire("wire0");
  const Bytes frame = ethernet(kIpv4, ipv4({}, tcp({}, filler(200))));
  Wire("wire0").send(frame);
  wait_for_packets(*source, 0, 1);
  CHECK(behind.hears(2000));
  Wire("tap0").send(frame);
  wait_for_packets(*source, 1, 1);
  CHECK(wire.hears(2000));
  std::vector<int> ports;
  auto drained =
      source->drain_headers([&](const fl_lift& lift, ByteView) { ports.push_back(lift.port); });
  REQUIRE(drained.has_value());
  CHECK(ports == std::vector<int>{0, 1});
}

TEST_CASE("A VLAN tag that the stack took off before tc counts with the bytes on the wire") {
  OwnNetwork network;
  Options options = small({});
  options.in_path = {"tap0"};
  auto source = must_open(options);
  REQUIRE(source->apply({default_entry(5)}).has_value());
  const Bytes plain = ethernet(kIpv4, ipv4({}, tcp({}, filler(200))));
  Bytes tagged = plain;
  const Bytes tag{0x81, 0x00, 0x00, 0x64};
  tagged.insert(tagged.begin() + 12, tag.begin(), tag.end());
  Wire("wire0").send(tagged);
  wait_for_packets(*source, 0, 1);
  auto drained = source->drain_headers([&](const fl_lift& lift, ByteView bytes) {
    CHECK(lift.wire_len == tagged.size());
    CHECK(Bytes(bytes.begin(), bytes.end()) == Bytes(plain.begin(), plain.begin() + 54));
  });
  REQUIRE(drained.has_value());
  CHECK(*drained == 1);
  CHECK(source->flow_counters(5)->bytes == tagged.size());
  CHECK(source->port_counters(0)->bytes == tagged.size());
}

namespace {

// Polls are a CPU's own.
class OneCpu {
 public:
  OneCpu() {
    REQUIRE(sched_getaffinity(0, sizeof before_, &before_) == 0);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<unsigned>(sched_getcpu()), &one);
    REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  }
  ~OneCpu() { sched_setaffinity(0, sizeof before_, &before_); }
  OneCpu(const OneCpu&) = delete;

 private:
  cpu_set_t before_;
};

}  // namespace

TEST_CASE(
    "With one time for each poll, what came in between the ends of two polls bears one time") {
  Bench bench({.traits = {.action = XDP_DROP, .time_per_poll = true}});
  bench.apply({default_entry(1)});
  const Bytes frame = ethernet(kIpv4, ipv4({}, tcp({}, filler(20))));
  {
    const OneCpu pinned;
    // Nothing says yet that a poll is over.
    const std::uint64_t first = bench.lift_of(frame).lift.timestamp_ns;
    CHECK(first > 0);
    CHECK(bench.lift_of(frame).lift.timestamp_ns == first);
  }

  OwnNetwork network;
  Options options = small({"tap0"});
  options.time_per_poll = true;
  auto source = must_open(options);
  REQUIRE(source->apply({default_entry(5)}).has_value());
  CHECK(source->stamps_early_by_ns() == 0);
  const SystemClock clock;
  const Wire wire("wire0");
  std::uint64_t before = clock.tai_ns();
  for (std::uint64_t n = 1; n <= 20; ++n) {
    wire.send(frame);
    wait_for_packets(*source, 0, n);  // its poll is over, or about to be
    std::uint64_t stamp = 0;
    auto drained =
        source->drain_headers([&](const fl_lift& lift, ByteView) { stamp = lift.timestamp_ns; });
    REQUIRE(drained.has_value());
    REQUIRE(*drained == 1);
    CHECK(stamp + source->stamps_early_by_ns() + 1'000'000 > before);
    CHECK(stamp < clock.tai_ns());
    before = clock.tai_ns();
  }
  CHECK(source->stamps_early_by_ns() > 0);
  CHECK(source->stamps_early_by_ns() < 1'000'000'000);
}

TEST_CASE("A tap whose driver has no native XDP is read by tc, and consumed all the same") {
  OwnNetwork network;
  // Everything that comes in by tap0 is the macvlan's.
  shell("ip link add link tap0 name mac0 type macvlan mode passthru nopromisc");
  shell("ip link set dev mac0 addrgenmode none && ip link set dev mac0 up");
  auto source = must_open(small({"mac0"}));
  REQUIRE(source->ports().size() == 1);
  CHECK(source->ports()[0].kind == "macvlan");
  CHECK(source->ports()[0].attachment != "native XDP");
  CHECK(source->ports()[0].remark.find("no native XDP") != std::string::npos);
  REQUIRE(source->apply({default_entry(5)}).has_value());
  for (int i = 0; i < 10; ++i) Wire("wire0").send(ethernet(kIpv4, ipv4({}, tcp({}, filler(200)))));
  wait_for_packets(*source, 0, 10);
  auto drained = source->drain_headers([](const fl_lift&, ByteView) {});
  REQUIRE(drained.has_value());
  CHECK(*drained == 10);
  CHECK(source->flow_counters(5)->packets == 10);
}

TEST_CASE("What merges or strips on a tap is off while the sensor lives, and as it was behind it") {
  OwnNetwork network;
  auto feature = [](const std::string& name) {
    const std::string all = output_of("ethtool -k tap0");
    const auto at = all.find(name + ": ") + name.size() + 2;
    return all.substr(at, all.find('\n', at) - at);
  };
  shell("ethtool -K tap0 gro on");
  REQUIRE(feature("rx-vlan-offload") == "on");
  {
    auto source = must_open(small({"tap0"}));
    CHECK(feature("rx-vlan-offload") == "off");
  }
  CHECK(feature("rx-vlan-offload") == "on");
  CHECK(feature("generic-receive-offload") == "on");
}

TEST_CASE("A frame of 9,000 bytes is read on a tap of that size") {
  OwnNetwork network;
  shell("ip link set dev wire0 mtu 9000 && ip link set dev tap0 mtu 9000");
  auto source = must_open(small({"tap0"}));
  REQUIRE(source->apply({default_entry(5, 512)}).has_value());
  const Bytes frame = ethernet(kIpv4, ipv4({}, tcp({}, filler(8900))));
  Wire("wire0").send(frame);
  wait_for_packets(*source, 0, 1);
  std::vector<std::uint32_t> sizes;
  auto drained = source->drain_headers([&](const fl_lift& lift, ByteView bytes) {
    sizes.push_back(lift.wire_len);
    CHECK(Bytes(bytes.begin(), bytes.end()) == Bytes(frame.begin(), frame.begin() + 512));
  });
  REQUIRE(drained.has_value());
  CHECK(sizes == std::vector<std::uint32_t>{static_cast<std::uint32_t>(frame.size())});
}

TEST_CASE("A killed process leaves no program and no promiscuous mode behind") {
  OwnNetwork network;
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    auto opened = Source::open(small({"tap0"}));
    const char word = opened ? 'y' : 'n';
    if (write(ready[1], &word, 1) != 1) _exit(1);
    for (;;) pause();
  }
  char word = 0;
  REQUIRE(read(ready[0], &word, 1) == 1);
  CHECK(word == 'y');
  CHECK(output_of("ip link show dev tap0").find("xdp") != std::string::npos);
  REQUIRE(kill(child, SIGKILL) == 0);
  REQUIRE(waitpid(child, nullptr, 0) == child);
  close(ready[0]);
  close(ready[1]);
  bool left = true;
  for (int i = 0; i < 200 && left; ++i) {  // the kernel may detach from a work queue
    const std::string now = output_of("ip -details link show dev tap0");
    left = now.find("xdp") != std::string::npos || now.find("promiscuity 0") == std::string::npos;
    if (left) poll(nullptr, 0, 10);
  }
  CHECK(!left);
  must_open(small({"tap0"}));
}

}  // namespace fieldline
