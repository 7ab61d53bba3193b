// SPDX-License-Identifier: Apache-2.0
// Veth pairs in a network namespace of the test's own:
//
//   wire0 ---- tap0 (Source)      wire1 ---- tap1 (Source)
#pragma once

#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "packets.h"
#include "source/source.h"

namespace fieldline {

inline void shell(const std::string& command) {
  INFO(command);
  REQUIRE(std::system(command.c_str()) == 0);
}

inline std::string output_of(const std::string& command) {
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
  explicit OwnNetwork(unsigned pairs = 2) : before_(open_self()) {
    REQUIRE(before_);
    REQUIRE(unshare(CLONE_NEWNET) == 0);
    for (unsigned i = 0; i < pairs; ++i) add(i);
  }
  static void add(unsigned number) {
    const std::string wire = "wire" + std::to_string(number), tap = "tap" + std::to_string(number);
    shell("ip link add " + wire + " type veth peer name " + tap);
    for (const auto& name : {wire, tap}) {
      // In two steps: one command brings the interface up first, and IPv6 may be quicker.
      shell("ip link set dev " + name + " addrgenmode none");
      shell("ip link set dev " + name + " up");
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

// Everything that a packet socket sees on an interface, in either direction.
class Listener {
 public:
  explicit Listener(const char* interface)
      : socket_(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) {
    REQUIRE(socket_);
    sockaddr_ll here{};
    here.sll_family = AF_PACKET;
    here.sll_protocol = big_endian(std::uint16_t{0x0003});
    here.sll_ifindex = static_cast<int>(if_nametoindex(interface));
    REQUIRE(bind(socket_.get(), reinterpret_cast<sockaddr*>(&here), sizeof here) == 0);
  }
  bool hears(int timeout_ms) const {
    pollfd waiting{socket_.get(), POLLIN, 0};
    return poll(&waiting, 1, timeout_ms) == 1;
  }

 private:
  Fd socket_;
};

class Wire {
 public:
  explicit Wire(const char* interface) : socket_(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) {
    REQUIRE(socket_);
    wait_for_queue(interface);
    address_.sll_family = AF_PACKET;
    address_.sll_ifindex = static_cast<int>(if_nametoindex(interface));
  }
  void send(const Bytes& frame) const {
    const auto* to = reinterpret_cast<const sockaddr*>(&address_);
    REQUIRE(sendto(socket_.get(), frame.data(), frame.size(), 0, to, sizeof address_) ==
            static_cast<ssize_t>(frame.size()));
  }

 private:
  // From "up" to the kernel's look at the carrier, in a worker of its own, the queue is noop: what
  // is sent meanwhile is dropped, and nobody told.
  static void wait_for_queue(const std::string& interface) {
    for (int i = 0; i < 1000; ++i) {
      if (output_of("ip -o link show dev " + interface).find("qdisc noop ") == std::string::npos)
        return;
      poll(nullptr, 0, 10);
    }
    FAIL(interface << " has no queue after 10 s");
  }
  Fd socket_;
  sockaddr_ll address_{};
};

inline std::unique_ptr<source::Source> must_open(const source::Options& options) {
  auto opened = source::Source::open(options);
  if (!opened) FAIL(opened.error().text());
  return std::move(*opened);
}

inline source::Options small(std::vector<std::string> interfaces) {
  return {std::move(interfaces), 1 << 16, 1 << 14, 64, {}};
}

// Packets travel in a softirq: waits for the count, at most ten seconds.
inline void wait_for_packets(const source::Source& source, std::uint16_t port,
                             std::uint64_t count) {
  for (int i = 0; i < 10000; ++i) {
    auto counters = source.port_counters(port);
    REQUIRE(counters.has_value());
    if (counters->packets >= count) return;
    poll(nullptr, 0, 1);
  }
  FAIL("port " << port << " did not see " << count << " packets within 10 s");
}

inline std::string refusal_of(const source::Options& options) {
  auto opened = source::Source::open(options);
  REQUIRE(opened.has_error());
  return opened.error().text();
}

}  // namespace fieldline
