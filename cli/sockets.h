// SPDX-License-Identifier: Apache-2.0
// Sockets to a host, as the kernel's sock_diag tells them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/sock_diag.h"

namespace fieldline::cli {

struct Socket : DiagSocket {
  std::string owner;  // "4121 gridftp", empty if /proc does not say
};

// Connected TCP (not listening, not TIME_WAIT) and connected UDP sockets to one of the remote
// addresses; of this uid alone, of all for root. In no particular order.
Result<std::vector<Socket>> find_sockets(const std::vector<Address>& remotes, uid_t uid);

// Fills in `owner` from /proc where that is readable.
void name_owners(std::vector<Socket>& sockets);

// Of the link /proc/PID/fd/N, as readlinkat() takes it; 0: it is no socket.
std::uint32_t socket_inode(int directory, const char* name);

}  // namespace fieldline::cli
