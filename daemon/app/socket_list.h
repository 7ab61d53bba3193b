// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/sock_diag.h"

namespace fieldline::app {

// All sockets of this namespace, as the kernel told them at one moment.
struct SocketList {
  std::vector<DiagSocket> sockets;
  std::vector<std::string> troubles;
  std::uint64_t took_ns = 0;
};

// Takes the longer the more sockets there are.
SocketList list_all(SockDiag& lister);

}  // namespace fieldline::app
