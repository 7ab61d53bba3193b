// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"

namespace fieldline::source {

// Ends the time that packets of one NAPI poll share (bpf/clock.h), as long as it lives.
class PollClock {
 public:
  // polls_fd: the classifier's map of that name; it outlives this.
  static Result<PollClock> open(int polls_fd);

  // How long a poll went on behind its first lifted packet, at most, so far.
  std::uint64_t longest_ns() const;

 private:
  std::shared_ptr<void> skeleton_;
  int polls_fd_ = -1;
};

}  // namespace fieldline::source
