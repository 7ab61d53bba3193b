// SPDX-License-Identifier: Apache-2.0
#include "cli_result.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "base/fd.h"
#include "cli/sender.h"
#include "cli/sockets.h"

using namespace fieldline;
using namespace fieldline::cli;

namespace {

struct Connection {
  Fd listener, client, server;
  std::uint16_t local = 0, remote = 0;
};

std::uint16_t port_of(int fd) {
  SocketAddress name;
  REQUIRE(::getsockname(fd, name.get(), &name.size) == 0);
  return name.port();
}

Fd bound(const char* address, int type) {
  auto at = socket_address(*Address::parse(address), 0);
  Fd fd(::socket(at.family(), type | SOCK_CLOEXEC, 0));
  REQUIRE(fd);
  REQUIRE(::bind(fd.get(), at.get(), at.size) == 0);
  return fd;
}

// A TCP connection (or a connected UDP socket) over loopback.
Connection connect_to(const char* address, int type) {
  Connection made;
  made.listener = bound(address, type);
  made.remote = port_of(made.listener.get());
  if (type == SOCK_STREAM) REQUIRE(::listen(made.listener.get(), 4) == 0);
  made.client = bound(address, type);
  auto to = socket_address(*Address::parse(address), made.remote);
  REQUIRE(::connect(made.client.get(), to.get(), to.size) == 0);
  made.local = port_of(made.client.get());
  if (type == SOCK_STREAM) made.server = Fd(::accept(made.listener.get(), nullptr, nullptr));
  return made;
}

const Socket* find(const std::vector<Socket>& sockets, const Connection& wanted) {
  auto at = std::find_if(sockets.begin(), sockets.end(), [&](const Socket& one) {
    return one.local_port == wanted.local && one.remote_port == wanted.remote;
  });
  return at == sockets.end() ? nullptr : &*at;
}

}  // namespace

TEST_CASE("sock_diag finds connected TCP and UDP sockets, with cookie, owner and DSCP") {
  for (const char* address : {"127.0.0.1", "::1"}) {
    for (int type : {SOCK_STREAM, SOCK_DGRAM}) {
      CAPTURE(address, type);
      auto made = connect_to(address, type);
      bool v4 = std::string(address) != "::1";
      int tos = 0x28;
      REQUIRE(::setsockopt(made.client.get(), v4 ? int{IPPROTO_IP} : int{IPPROTO_IPV6},
                           v4 ? IP_TOS : IPV6_TCLASS, &tos, sizeof tos) == 0);
      std::uint64_t cookie = 0;
      socklen_t size = sizeof cookie;
      REQUIRE(::getsockopt(made.client.get(), SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0);

      auto sockets = find_sockets({*Address::parse(address)}, ::geteuid());
      REQUIRE(sockets);
      name_owners(*sockets);
      const Socket* found = find(*sockets, made);
      REQUIRE(found != nullptr);
      CHECK(found->protocol == (type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP));
      CHECK(found->local.to_string() == address);
      CHECK(found->cookie == cookie);
      CHECK(found->uid == ::geteuid());
      CHECK(found->tos == tos);
      CHECK_THAT(found->owner, Catch::StartsWith(std::to_string(::getpid()) + " "));
    }
  }
}

TEST_CASE("Listening, unconnected and closed sockets are not flows, nor are those to other hosts") {
  auto made = connect_to("127.0.0.1", SOCK_STREAM);
  Fd unconnected = bound("127.0.0.1", SOCK_DGRAM);
  std::uint16_t lone = port_of(unconnected.get());
  auto sockets = find_sockets({*Address::parse("127.0.0.1")}, ::geteuid());
  REQUIRE(sockets);
  CHECK(find(*sockets, made) != nullptr);
  for (const auto& socket : *sockets) {
    CHECK(socket.remote_port != 0);
    CHECK(socket.local_port != lone);
  }
  auto elsewhere = find_sockets({*Address::parse("127.0.0.9")}, ::geteuid());
  REQUIRE(elsewhere);
  CHECK(find(*elsewhere, made) == nullptr);

  made.client.reset();
  made.server.reset();
  auto later = find_sockets({*Address::parse("127.0.0.1")}, ::geteuid());
  REQUIRE(later);
  CHECK(find(*later, made) == nullptr);
}

TEST_CASE("Without root only one's own sockets are told") {
  auto made = connect_to("127.0.0.1", SOCK_STREAM);
  auto others = find_sockets({*Address::parse("127.0.0.1")}, ::geteuid() + 54321);
  REQUIRE(others);
  CHECK(find(*others, made) == nullptr);
}

TEST_CASE("An IPv4 connection of an IPv6 socket is an IPv4 flow") {
  Fd listener = bound("127.0.0.1", SOCK_STREAM);
  REQUIRE(::listen(listener.get(), 1) == 0);
  Connection made;
  made.remote = port_of(listener.get());
  made.client = Fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_port = htons(made.remote);
  auto mapped = *Address::parse("127.0.0.1");
  std::copy(mapped.bytes.begin(), mapped.bytes.end(), to.sin6_addr.s6_addr);
  REQUIRE(::connect(made.client.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
  made.local = port_of(made.client.get());
  auto sockets = find_sockets({mapped}, ::geteuid());
  REQUIRE(sockets);
  const Socket* found = find(*sockets, made);
  REQUIRE(found != nullptr);
  CHECK(found->local.is_v4());
}
