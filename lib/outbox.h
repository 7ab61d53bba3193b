// SPDX-License-Identifier: Apache-2.0
// Events between the application's threads, which never wait, and the library's, which sends them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>

#include "base/bytes.h"

namespace fieldline::lib {

class Outbox {
 public:
  struct Counts {
    std::uint64_t written = 0;  // = taken out + held + dropped
    std::uint64_t held = 0, dropped = 0;
    std::uint64_t refused = 0;  // never came this far
  };

  explicit Outbox(std::size_t limit) : limit_(limit) {}

  // first: nothing was held, so wake the other end; late: dropped behind close()
  enum class Put { first, further, dropped, late };
  Put put(Bytes body);
  void refuse();
  // The oldest that is held, if it is no longer than that.
  std::optional<Bytes> take(std::size_t most);
  void close();  // what is held may still be taken
  Counts counts() const;

 private:
  // Per event beside its bytes: a deque's node and an allocation's head.
  static constexpr std::size_t kOverhead = 64;

  mutable std::mutex mutex_;  // held for a move of pointers
  const std::size_t limit_;
  std::size_t held_bytes_ = 0;
  std::deque<Bytes> held_;
  bool is_closed_ = false;
  Counts counts_;
};

}  // namespace fieldline::lib
