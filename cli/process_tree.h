// SPDX-License-Identifier: Apache-2.0
// The descendants of a process and the sockets that they hold, from /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <vector>

namespace fieldline::cli {

// Not the process itself. One that is made meanwhile may be missing.
std::vector<pid_t> descendants_of(pid_t process);

struct HeldSockets {
  std::set<std::uint32_t> inodes;
  std::size_t closed_to_us = 0;  // processes whose files this user may not see
};
HeldSockets sockets_of(const std::vector<pid_t>& processes);

}  // namespace fieldline::cli
