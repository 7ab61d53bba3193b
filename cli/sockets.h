// SPDX-License-Identifier: Apache-2.0
// Sockets to a host, as the kernel's sock_diag tells them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace fieldline::cli {

struct Socket {
  std::uint8_t protocol = 0;
  Address local, remote;
  std::uint16_t local_port = 0, remote_port = 0;
  std::uint64_t cookie = 0;  // as `ss -e` prints it
  std::uint32_t uid = 0, inode = 0;
  std::uint8_t tos = 0;  // TOS or traffic class

  std::string owner;  // "4121 gridftp", empty if /proc does not say
};

// Connected TCP (not listening, not TIME_WAIT) and connected UDP sockets to one of the remote
// addresses; of this uid alone, of all for root. In no particular order.
Result<std::vector<Socket>> find_sockets(const std::vector<Address>& remotes, uid_t uid);

// Fills in `owner` from /proc where that is readable.
void name_owners(std::vector<Socket>& sockets);

}  // namespace fieldline::cli
