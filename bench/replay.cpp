// SPDX-License-Identifier: Apache-2.0
// Writes a trace of application data units to a TCP connection, each after its gap: one stack
// traversal of the paper's Table II. The trace is on standard input, a line "GAP_US BYTES" per
// write.
//   replay sink PORT           accepts one connection, reads it to its end, says how many bytes
//   came replay send ADDRESS PORT   connects and plays; prints the socket's cookie and its ports
//   first
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

constexpr std::size_t kMostBytes = 1 << 20;  // of one write

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

sockaddr_in address_of(const char* host, const char* port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::strtoul(port, nullptr, 10)));
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1 || address.sin_port == 0) {
    std::fprintf(stderr, "replay: %s %s is no IPv4 address with a port\n", host, port);
    std::exit(2);
  }
  return address;
}

int sink(const char* port) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = address_of("0.0.0.0", port);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, 1) != 0)
    die("replay: listen");
  std::printf("ready\n");
  std::fflush(stdout);
  const int peer = accept(listener, nullptr, nullptr);
  if (peer < 0) die("replay: accept");
  std::vector<char> buffer(1 << 16);
  unsigned long long bytes = 0;
  for (;;) {
    const ssize_t got = recv(peer, buffer.data(), buffer.size(), 0);
    if (got < 0) die("replay: recv");
    if (got == 0) break;
    bytes += static_cast<unsigned long long>(got);
  }
  std::printf("bytes %llu\n", bytes);
  return 0;
}

void wait_until(timespec& when, std::uint64_t gap_us) {
  when.tv_nsec += static_cast<long>(gap_us % 1'000'000) * 1000;
  when.tv_sec += static_cast<time_t>(gap_us / 1'000'000) + when.tv_nsec / 1'000'000'000;
  when.tv_nsec %= 1'000'000'000;
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, nullptr) == EINTR) {
  }
}

int play(const char* host, const char* port) {
  const int peer = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to = address_of(host, port), from{};
  socklen_t length = sizeof from;
  std::uint64_t cookie = 0;
  socklen_t cookie_length = sizeof cookie;
  if (connect(peer, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0 ||
      getsockname(peer, reinterpret_cast<sockaddr*>(&from), &length) != 0 ||
      getsockopt(peer, SOL_SOCKET, SO_COOKIE, &cookie, &cookie_length) != 0)
    die("replay: connect");
  std::printf("cookie %llu local_port %u peer_port %s\n", static_cast<unsigned long long>(cookie),
              ntohs(from.sin_port), port);
  std::fflush(stdout);
  timespec when{};
  clock_gettime(CLOCK_MONOTONIC, &when);
  const std::vector<char> data(kMostBytes, 'x');
  unsigned long long gap_us = 0, bytes = 0;
  while (std::scanf("%llu %llu", &gap_us, &bytes) == 2) {
    if (bytes == 0 || bytes > kMostBytes || gap_us > 60'000'000) {
      std::fprintf(stderr, "replay: a write of %llu bytes after %llu us is not played\n", bytes,
                   gap_us);
      return 2;
    }
    wait_until(when, gap_us);
    for (std::size_t left = bytes; left > 0;) {
      const ssize_t sent = send(peer, data.data(), left, 0);
      if (sent < 0) die("replay: send");
      left -= static_cast<std::size_t>(sent);
    }
  }
  shutdown(peer, SHUT_WR);
  char end;
  if (recv(peer, &end, 1, 0) != 0) die("replay: the sink did not close");
  return 0;
}

}  // namespace

int main(int count, char** values) {
  if (count == 3 && std::strcmp(values[1], "sink") == 0) return sink(values[2]);
  if (count == 4 && std::strcmp(values[1], "send") == 0) return play(values[2], values[3]);
  std::fprintf(stderr, "usage: replay sink PORT | replay send ADDRESS PORT <TRACE\n");
  return 2;
}
