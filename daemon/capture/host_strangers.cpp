// SPDX-License-Identifier: Apache-2.0
#include "capture/host_strangers.h"

#include <utility>

namespace fieldline::capture {

bool Strangers::contains(std::uint64_t cookie, std::uint64_t now_ns) {
  turn(now_ns);
  return young_.contains(cookie) || old_.contains(cookie);
}

void Strangers::add(std::uint64_t cookie, std::uint64_t now_ns) {
  turn(now_ns);
  young_.insert(cookie);
}

void Strangers::erase(std::uint64_t cookie) {
  young_.erase(cookie);
  old_.erase(cookie);
}

void Strangers::clear() {
  young_.clear();
  old_.clear();
}

// The clock is the records': CPUs differ by little, and a step of it only costs questions.
void Strangers::turn(std::uint64_t now_ns) {
  const bool over = now_ns > since_ns_ + kLife || now_ns + kLife < since_ns_;
  if (!over && young_.size() < kMost) return;
  old_ = std::exchange(young_, {});
  if (now_ns > since_ns_ + 2 * kLife) old_.clear();
  since_ns_ = now_ns;
}

}  // namespace fieldline::capture
