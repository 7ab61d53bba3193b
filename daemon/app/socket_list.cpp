// SPDX-License-Identifier: Apache-2.0
#include "app/socket_list.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/clock.h"

namespace fieldline::app {

SocketList list_all(SockDiag& lister) {
  SystemClock clock;
  const std::uint64_t begin = clock.monotonic_ns();
  SocketList list;
  for (int family : {AF_INET, AF_INET6}) {
    for (int protocol : {IPPROTO_TCP, IPPROTO_UDP}) {
      auto found = lister.sockets(family, protocol, true);
      if (found) list.sockets.insert(list.sockets.end(), found->begin(), found->end());
      if (!found) list.troubles.push_back(found.error().text());
    }
  }
  list.took_ns = clock.monotonic_ns() - begin;
  return list;
}

}  // namespace fieldline::app
