// SPDX-License-Identifier: Apache-2.0
// What the application's threads and the library's know of each other; outlives either.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "lib/outbox.h"

namespace fieldline::lib {

struct Shared {
  explicit Shared(std::size_t buffer_bytes) : outbox(buffer_bytes) {}

  Outbox outbox;
  std::mutex mutex;  // of what follows, as the library's thread last said it
  std::condition_variable changed;
  std::uint64_t acknowledged = 0, dropped = 0, pulses = 0;
  std::uint64_t told = 0;  // how often
  bool connected = false;
  bool gone = false;  // the thread has nothing more to do
};

}  // namespace fieldline::lib
