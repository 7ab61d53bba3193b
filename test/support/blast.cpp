// SPDX-License-Identifier: Apache-2.0
// blast IFACE COUNT PER_SECOND: puts that many UDP frames of many flows onto an interface of a lab,
// at that rate. Bounded in count; prints "SENT SECONDS".
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <time.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/fd.h"

namespace {

constexpr unsigned kBurst = 50, kFrame = 200, kFlows = 1000;
using Clock = std::chrono::steady_clock;

// Ethernet, IPv4, UDP from 198.18.0.1 (RFC 2544's own block) to 198.18.0.2.
std::array<unsigned char, kFrame> frame_of(unsigned flow) {
  std::array<unsigned char, kFrame> f{};
  f[12] = 0x08;
  f[14] = 0x45;
  f[17] = kFrame - 14;
  f[22] = 64;
  f[23] = 17;
  const unsigned char addresses[] = {198, 18, 0, 1, 198, 18, 0, 2};
  std::memcpy(&f[26], addresses, sizeof addresses);
  unsigned port = 30000 + flow;
  f[34] = static_cast<unsigned char>(port >> 8);
  f[35] = static_cast<unsigned char>(port);
  f[36] = 9;
  f[39] = kFrame - 34;
  return f;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: blast IFACE COUNT PER_SECOND\n");
    return 2;
  }
  const unsigned long count = std::strtoul(argv[2], nullptr, 10),
                      rate = std::strtoul(argv[3], nullptr, 10);
  fieldline::Fd socket(::socket(AF_PACKET, SOCK_RAW, 0));
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(if_nametoindex(argv[1]));
  to.sll_halen = ETH_ALEN;
  if (!socket || to.sll_ifindex == 0 || rate == 0 ||
      bind(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
    std::perror("blast");
    return 1;
  }

  std::vector<std::array<unsigned char, kFrame>> frames;
  for (unsigned i = 0; i < kFlows; ++i) frames.push_back(frame_of(i));
  std::vector<iovec> vectors(kFlows);
  std::vector<mmsghdr> messages(kFlows);
  for (unsigned i = 0; i < kFlows; ++i) {
    vectors[i] = {frames[i].data(), kFrame};
    messages[i] = {};
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }

  const auto begin = Clock::now();
  unsigned long sent = 0;
  while (sent < count) {
    auto due = begin + std::chrono::nanoseconds(sent * 1'000'000'000 / rate);
    timespec at{};
    auto wait = std::chrono::duration_cast<std::chrono::nanoseconds>(due - Clock::now()).count();
    if (wait > 0) {
      at.tv_nsec = wait % 1'000'000'000;
      at.tv_sec = wait / 1'000'000'000;
      nanosleep(&at, nullptr);
    }
    int n = sendmmsg(socket.get(), &messages[sent % (kFlows - kBurst)], kBurst, 0);
    if (n < 0 && errno != EINTR && errno != ENOBUFS && errno != EAGAIN) {
      std::perror("blast: sendmmsg");
      return 1;
    }
    if (n > 0) sent += static_cast<unsigned long>(n);
  }
  std::printf("%lu %.3f\n", sent, std::chrono::duration<double>(Clock::now() - begin).count());
  return 0;
}
