// SPDX-License-Identifier: Apache-2.0
#include "source/port_lease.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace fieldline::source {

Result<Fd> lease_port(int ifindex, const std::string& place) {
  const std::string name = "fieldline.port." + std::to_string(ifindex) + "." + place;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;  // sun_path[0] stays 0: abstract
  const std::size_t length = std::min(name.size(), sizeof address.sun_path - 1);
  std::memcpy(address.sun_path + 1, name.data(), length);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length);
  Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno("opening a socket");
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0) return socket;
  if (errno != EADDRINUSE) return fail_errno("leasing the port");
  return fail(Code::invalid, "another fieldlined has this port. See: ss -xap | grep " + name +
                                 "; stop it, or leave the port to it");
}

}  // namespace fieldline::source
