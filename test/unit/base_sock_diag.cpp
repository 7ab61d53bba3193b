// SPDX-License-Identifier: Apache-2.0
// One socket of this namespace, asked for by itself.
#include "base/sock_diag.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <catch2/catch.hpp>

using namespace fieldline;

namespace {

std::uint64_t cookie_of(const Fd& fd) {
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  REQUIRE(::getsockopt(fd.get(), SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0);
  return cookie;
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

std::uint16_t bound(const Fd& fd) {
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return ntohs(address.sin_port);
}

}  // namespace

TEST_CASE("sock_diag: one connected socket is found by its addresses and cookie, no other is") {
  const int protocol = GENERATE(int{IPPROTO_TCP}, int{IPPROTO_UDP});
  const int type = protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM;
  Fd server(::socket(AF_INET, type | SOCK_CLOEXEC, 0)), client(::socket(AF_INET, type, 0));
  const std::uint16_t there = bound(server), here = bound(client);
  if (protocol == IPPROTO_TCP) REQUIRE(::listen(server.get(), 1) == 0);
  sockaddr_in peer = loopback(there);
  REQUIRE(::connect(client.get(), reinterpret_cast<sockaddr*>(&peer), sizeof peer) == 0);

  auto diag = SockDiag::open();
  REQUIRE(diag.has_value());
  auto all = diag->sockets(AF_INET, protocol);
  if (!all && all.error().code == Code::unsupported) {
    CHECK(all.error().text().find("modprobe") != std::string::npos);
    WARN("this kernel has no tcp_diag or udp_diag");
    return;
  }
  REQUIRE(all.has_value());
  DiagSocket wanted;
  wanted.protocol = static_cast<std::uint8_t>(protocol);
  wanted.local = wanted.remote = *Address::parse("127.0.0.1");
  wanted.local_port = here;
  wanted.remote_port = there;
  wanted.cookie = cookie_of(client);
  auto found = diag->socket(wanted);
  REQUIRE(found.has_value());
  REQUIRE(found->has_value());
  CHECK((*found)->local_port == here);
  CHECK((*found)->remote_port == there);
  CHECK((*found)->remote == wanted.remote);

  wanted.cookie += 1'000'000;  // another namespace's socket with the same addresses
  found = diag->socket(wanted);
  REQUIRE(found.has_value());
  CHECK_FALSE(found->has_value());
  wanted.cookie = cookie_of(client);
  CAPTURE(protocol);
  server = Fd();  // resets the TCP connection that it never took: no FIN_WAIT is left of it
  client = Fd();
  found = diag->socket(wanted);
  REQUIRE(found.has_value());
  CHECK_FALSE(found->has_value());
}
