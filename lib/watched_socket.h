// SPDX-License-Identifier: Apache-2.0
// What of an application's socket a run needs to know. The socket is only asked.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "cli/plan.h"

namespace fieldline::lib {

struct WatchedSocket {
  cli::Plan plan;            // one pair of ports
  std::uint64_t cookie = 0;  // as `ss -e` shows it
};

// invalid: no socket, or not a connected TCP or UDP one.
Result<WatchedSocket> look_at(int socket);

}  // namespace fieldline::lib
