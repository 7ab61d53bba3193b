// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.h"
#include "base/result.h"

namespace fieldline::cli {

// SIGINT, SIGTERM and SIGHUP as a descriptor to be read. To be called before any thread starts, so
// that all of them leave these to whoever reads.
Result<Fd> block_signals();

}  // namespace fieldline::cli
