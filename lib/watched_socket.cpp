// SPDX-License-Identifier: Apache-2.0
#include "lib/watched_socket.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "cli/sender.h"

namespace fieldline::lib {

namespace {

constexpr int kEcnBits = 3;  // of the traffic class; the flow's own, not a trigger's

template <class T>
bool option_of(int socket, int level, int name, T& value) {
  socklen_t size = sizeof value;
  return ::getsockopt(socket, level, name, &value, &size) == 0;
}

std::uint8_t traffic_class_of(int socket, int family) {
  int value = 0;
  const bool known = family == AF_INET ? option_of(socket, IPPROTO_IP, IP_TOS, value)
                                       : option_of(socket, IPPROTO_IPV6, IPV6_TCLASS, value);
  return known && value > 0 ? static_cast<std::uint8_t>(value & ~kEcnBits & 0xff) : std::uint8_t{0};
}

}  // namespace

Result<WatchedSocket> look_at(int socket) {
  int protocol = 0;
  if (!option_of(socket, SOL_SOCKET, SO_PROTOCOL, protocol)) {
    Error error = fail_errno("the socket");
    error.code = Code::invalid;
    return error;
  }
  if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
    return fail(Code::invalid, "the socket is neither TCP nor UDP");
  cli::SocketAddress local, remote;
  if (::getsockname(socket, local.get(), &local.size) != 0 ||
      ::getpeername(socket, remote.get(), &remote.size) != 0)
    return fail(Code::invalid,
                "the socket is not connected; switch it on after connect() or accept()");
  if (local.family() != AF_INET && local.family() != AF_INET6)
    return fail(Code::invalid, "the socket is neither IPv4 nor IPv6");
  WatchedSocket watched;
  watched.plan.protocol = static_cast<std::uint8_t>(protocol);
  watched.plan.local = local.address();
  watched.plan.remote = remote.address();
  watched.plan.pairs = {{local.port(), remote.port()}};
  watched.plan.traffic_class =
      traffic_class_of(socket, watched.plan.remote.is_v4() ? AF_INET : AF_INET6);
  option_of(socket, SOL_SOCKET, SO_COOKIE, watched.cookie);
  return watched;
}

}  // namespace fieldline::lib
