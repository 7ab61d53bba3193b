// SPDX-License-Identifier: Apache-2.0
// Source on a real veth pair, in a network namespace of this test's own:
//
//   wire0 ---- tap0 (Source)      wire1 ---- tap1 (Source)
#include "source/source.h"

#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "base/fd.h"
#include "bench.h"
#include "packets.h"
#include "proto/trigger.h"

namespace fieldline {
namespace {

using namespace packets;
using source::Options;
using source::Source;

void shell(const std::string& command) {
  INFO(command);
  REQUIRE(std::system(command.c_str()) == 0);
}

std::string output_of(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string text;
  char part[512];
  while (std::size_t size = std::fread(part, 1, sizeof part, pipe)) text.append(part, size);
  REQUIRE(pclose(pipe) == 0);
  return text;
}

// The thread's namespace until destruction; the kernel removes the veths with it.
class OwnNetwork {
 public:
  OwnNetwork() : before_(open_self()) {
    REQUIRE(before_);
    REQUIRE(unshare(CLONE_NEWNET) == 0);
    for (const char* number : {"0", "1"}) {
      const std::string wire = std::string("wire") + number, tap = std::string("tap") + number;
      shell("ip link add " + wire + " type veth peer name " + tap);
      for (const auto& name : {wire, tap}) {
        // In two steps: one command brings the interface up first, and IPv6 may be quicker.
        shell("ip link set dev " + name + " addrgenmode none");
        shell("ip link set dev " + name + " up");
      }
    }
  }
  ~OwnNetwork() { setns(before_.get(), CLONE_NEWNET); }

 private:
  static Fd open_self() {
    FILE* file = std::fopen("/proc/thread-self/ns/net", "re");
    if (!file) return Fd();
    Fd fd(dup(fileno(file)));
    std::fclose(file);
    return fd;
  }
  Fd before_;
};

class Wire {
 public:
  explicit Wire(const char* interface) : socket_(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) {
    REQUIRE(socket_);
    address_.sll_family = AF_PACKET;
    address_.sll_ifindex = static_cast<int>(if_nametoindex(interface));
  }
  void send(const Bytes& frame) const {
    const auto* to = reinterpret_cast<const sockaddr*>(&address_);
    REQUIRE(sendto(socket_.get(), frame.data(), frame.size(), 0, to, sizeof address_) ==
            static_cast<ssize_t>(frame.size()));
  }

 private:
  Fd socket_;
  sockaddr_ll address_{};
};

std::unique_ptr<Source> must_open(const Options& options) {
  auto opened = Source::open(options);
  if (!opened) FAIL(opened.error().text());
  return std::move(*opened);
}

Options small(std::vector<std::string> interfaces) {
  return {std::move(interfaces), 1 << 16, 1 << 14, 64};
}

// Packets travel in a softirq: waits for the count, at most two seconds.
void wait_for_packets(const Source& source, std::uint16_t port, std::uint64_t count) {
  for (int i = 0; i < 2000; ++i) {
    auto counters = source.port_counters(port);
    REQUIRE(counters.has_value());
    if (counters->packets >= count) return;
    poll(nullptr, 0, 1);
  }
  FAIL("port " << port << " did not see " << count << " packets within 2 s");
}

std::string refusal_of(const Options& options) {
  auto opened = Source::open(options);
  REQUIRE(opened.has_error());
  return opened.error().text();
}

}  // namespace

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
    Fd listener(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    sockaddr_ll here{};
    here.sll_family = AF_PACKET;
    here.sll_protocol = big_endian(std::uint16_t{0x0003});
    here.sll_ifindex = static_cast<int>(if_nametoindex("tap0"));
    REQUIRE(bind(listener.get(), reinterpret_cast<sockaddr*>(&here), sizeof here) == 0);
    Wire("wire0").send(ethernet(kArp, filler(50)));
    wait_for_packets(*source, 0, 1);
    pollfd waiting{listener.get(), POLLIN, 0};
    CHECK(poll(&waiting, 1, 0) == 0);
  }
  CHECK(output_of("ip -details link show dev tap0").find("promiscuity 0") != std::string::npos);
  CHECK(output_of("ip link show dev tap0").find("xdp") == std::string::npos);
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
    "A second program on the interface is refused, and a later port's refusal undoes the earlier "
    "ones") {
  OwnNetwork network;
  auto first = must_open(small({"tap1"}));
  CHECK(refusal_of(small({"tap0", "tap1"})).find("another XDP program") != std::string::npos);
  CHECK(output_of("ip link show dev tap0").find("xdp") == std::string::npos);
}

TEST_CASE("Options that cannot be met are refused before anything is touched") {
  OwnNetwork network;
  CHECK(refusal_of(small({})).find("no port") != std::string::npos);
  CHECK(refusal_of(small({"tap0", "tap0"})).find("twice") != std::string::npos);
  CHECK(refusal_of(small({"none0"})).find("no interface none0") != std::string::npos);
  CHECK(refusal_of({{"tap0"}, 5000, 1 << 14, 64}).find("power of two") != std::string::npos);
  CHECK(refusal_of({{"tap0"}, 1 << 16, 1024, 64}).find("power of two") != std::string::npos);
  CHECK(refusal_of({{"tap0"}, 1 << 16, 1 << 14, 0}).find("max_flows") != std::string::npos);
  CHECK(refusal_of(small(std::vector<std::string>(FL_PORTS_MAX + 1, "tap0"))).find("at most 64") !=
        std::string::npos);
}

}  // namespace fieldline
