// SPDX-License-Identifier: Apache-2.0
// TCP ping-pong over loopback: what a round trip costs. With both sides in one process and nothing
// else on the machine, each round trip meets every hook of MAGNeT twice per direction: 16 records,
// acknowledgements piggybacked.
//   pingpong [ROUND_TRIPS [BYTES [BURSTS PAUSE_MS]]]
//       prints: round_trips N bytes B ns N_PER_ROUND_TRIP
// With BURSTS, so many bursts of ROUND_TRIPS each, and a pause before each of them that is not
// timed.
// Under QEMU's -icount the guest's clock counts instructions, and the figure is that.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

struct Pair {
  int client = -1, server = -1;
};

Pair connect_on_loopback() {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  Pair pair;
  pair.client = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      listen(listener, 1) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0 ||
      connect(pair.client, reinterpret_cast<sockaddr*>(&address), length) != 0)
    die("pingpong: loopback");
  pair.server = accept(listener, nullptr, nullptr);
  if (pair.server < 0) die("pingpong: accept");
  close(listener);
  const int on = 1;
  setsockopt(pair.client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(pair.server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return pair;
}

void pass(int from, int to, std::vector<char>& buffer) {
  if (send(from, buffer.data(), buffer.size(), 0) != static_cast<ssize_t>(buffer.size()))
    die("pingpong: send");
  if (recv(to, buffer.data(), buffer.size(), MSG_WAITALL) != static_cast<ssize_t>(buffer.size()))
    die("pingpong: recv");
}

long argument(int count, char** values, int index, long otherwise, long most) {
  if (count <= index) return otherwise;
  const long value = std::strtol(values[index], nullptr, 10);
  if (value < 1 || value > most) {
    std::fprintf(stderr,
                 "usage: pingpong [ROUND_TRIPS 1..10000000 [BYTES 1..60000 [BURSTS 1..1000 "
                 "PAUSE_MS 1..10000]]]\n");
    std::exit(2);
  }
  return value;
}

}  // namespace

int main(int count, char** values) {
  const long round_trips = argument(count, values, 1, 10'000, 10'000'000);
  std::vector<char> buffer(static_cast<std::size_t>(argument(count, values, 2, 1, 60'000)));
  const long bursts = argument(count, values, 3, 1, 1000);
  const std::chrono::milliseconds pause(argument(count, values, 4, 0, 10'000));
  const Pair pair = connect_on_loopback();
  const auto there_and_back = [&](long times) {
    for (long i = 0; i < times; ++i) {
      pass(pair.client, pair.server, buffer);
      pass(pair.server, pair.client, buffer);
    }
  };
  there_and_back(100);  // out of quick-ack mode, so that acknowledgements ride on the answers
  std::chrono::duration<double, std::nano> took{};
  for (long burst = 0; burst < bursts; ++burst) {
    std::this_thread::sleep_for(pause);
    const auto begin = std::chrono::steady_clock::now();
    there_and_back(round_trips);
    took += std::chrono::steady_clock::now() - begin;
  }
  std::printf("round_trips %ld bytes %zu ns %.1f\n", round_trips * bursts, buffer.size(),
              took.count() / static_cast<double>(round_trips * bursts));
  return 0;
}
