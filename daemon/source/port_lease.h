// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace fieldline::source {

// A port is one daemon's: two would each think that all packets are theirs. The lease is an
// abstract socket, which is the network namespace's own, takes no file, and ends with the process.
Result<Fd> lease_port(int ifindex, const std::string& place);

}  // namespace fieldline::source
