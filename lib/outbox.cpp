// SPDX-License-Identifier: Apache-2.0
#include "lib/outbox.h"

#include <new>
#include <utility>

namespace fieldline::lib {

// Memory that is not to be had is room that is not there.
Outbox::Put Outbox::put(Bytes body) {
  const std::size_t size = body.size() + kOverhead;
  std::lock_guard lock(mutex_);
  ++counts_.written;
  bool taken = held_bytes_ + size <= limit_;
  try {
    if (taken) held_.push_back(std::move(body));
  } catch (const std::bad_alloc&) {
    taken = false;
  }
  if (!taken) {
    ++counts_.dropped;
    return Put::dropped;
  }
  held_bytes_ += size;
  return held_.size() == 1 ? Put::first : Put::further;
}

void Outbox::refuse() {
  std::lock_guard lock(mutex_);
  ++counts_.refused;
}

std::deque<Bytes> Outbox::take() {
  std::lock_guard lock(mutex_);
  held_bytes_ = 0;
  return std::exchange(held_, {});
}

Outbox::Counts Outbox::counts() const {
  std::lock_guard lock(mutex_);
  return counts_;
}

}  // namespace fieldline::lib
