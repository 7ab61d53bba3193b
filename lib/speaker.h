// SPDX-License-Identifier: Apache-2.0
// Who tells an event: host, program and socket; process, thread and time are those of the call.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "lib/pairs.h"

namespace fieldline::lib {

struct Speaker {
  std::string host, program;
  std::uint64_t sockid = 0;

  // The event's body. A pair `level` sets its level and is no pair of it.
  Result<Bytes> event(std::string_view name, Pairs pairs) const;
};

}  // namespace fieldline::lib
