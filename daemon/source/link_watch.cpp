// SPDX-License-Identifier: Apache-2.0
#include "source/link_watch.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace fieldline::source {

Result<LinkWatch> LinkWatch::open() {
  LinkWatch watch;
  watch.socket_ = Fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!watch.socket_) return fail_errno("opening a netlink socket");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
  if (bind(watch.socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address))
    return fail_errno("listening to what happens to interfaces");
  return watch;
}

void LinkWatch::clear() const {
  std::array<char, 1 << 14> ignored;
  // ENOBUFS: some were lost, and more may wait behind.
  while (recv(socket_.get(), ignored.data(), ignored.size(), 0) >= 0 || errno == EINTR ||
         errno == ENOBUFS) {
  }
}

}  // namespace fieldline::source
