// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/sock_diag.h"
#include "proto/event.h"

namespace fieldline {

// From the kernel's struct tcp_info, which has grown at its end with each version: members that
// `info` does not reach are 0.
fl_tcp_info tcp_sample(ByteView info, const DiagSocket& socket, std::uint64_t utc_ns);

}  // namespace fieldline
