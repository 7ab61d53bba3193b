// SPDX-License-Identifier: Apache-2.0
// Sockets of this network namespace, as the kernel's sock_diag tells them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/fd.h"
#include "base/result.h"

struct inet_diag_req_v2;

namespace fieldline {

struct DiagSocket {
  std::uint8_t protocol = 0;
  Address local, remote;  // remote is zero if it is not connected
  std::uint16_t local_port = 0, remote_port = 0;
  std::uint64_t cookie = 0;  // as `ss -e` prints it
  std::uint32_t uid = 0, inode = 0, interface = 0;
  std::uint8_t tos = 0;  // TOS or traffic class
  std::uint8_t state = 0;
  bool is_v6 = false;  // the socket's family, whatever its addresses
};

class SockDiag {
 public:
  static Result<SockDiag> open();

  // TCP (not listening, not TIME_WAIT) and UDP sockets of one family, AF_INET or AF_INET6;
  // unconnected UDP sockets if asked for; those alone that were made in a cgroup (v2, by its id),
  // if given: a socket stays its cgroup's when all have closed it. In no particular order.
  Result<std::vector<DiagSocket>> sockets(int family, int protocol, bool unconnected = false,
                                          std::optional<std::uint64_t> cgroup = {});
  // That very socket, found by its addresses, ports and cookie, as this namespace has it; none if
  // it has not.
  Result<std::optional<DiagSocket>> socket(const DiagSocket& wanted);
  // struct tcp_info of that very socket, as long as this kernel has it; none if it is gone.
  Result<std::optional<Bytes>> tcp_info(const DiagSocket& socket);

 private:
  using OnMessage = std::function<void(ByteView message)>;
  struct Turn {
    bool done = false, interrupted = false;
  };
  explicit SockDiag(Fd fd) : fd_(std::move(fd)) {}
  Result<void> ask(const inet_diag_req_v2& request, bool dump, ByteView attributes = {});
  Result<void> ask_for(const DiagSocket& socket, std::uint8_t extensions);
  Result<Turn> take(ByteView datagram, bool dump, const OnMessage& on_message) const;
  Result<bool> receive(bool dump, const OnMessage& on_message);  // false: interrupted

  Fd fd_;
  std::uint32_t sequence_ = 0;
};

}  // namespace fieldline
