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
  bool taken = !is_closed_ && held_bytes_ + size <= limit_;
  try {
    if (taken) held_.push_back(std::move(body));
  } catch (const std::bad_alloc&) {
    taken = false;
  }
  if (!taken) {
    ++counts_.dropped;
    return is_closed_ ? Put::late : Put::dropped;
  }
  held_bytes_ += size;
  return held_.size() == 1 ? Put::first : Put::further;
}

void Outbox::refuse() {
  std::lock_guard lock(mutex_);
  ++counts_.refused;
}

std::optional<Bytes> Outbox::take(std::size_t most) {
  std::lock_guard lock(mutex_);
  if (held_.empty() || held_.front().size() > most) return std::nullopt;
  Bytes body = std::move(held_.front());
  held_.pop_front();
  held_bytes_ -= body.size() + kOverhead;
  return body;
}

void Outbox::close() {
  std::lock_guard lock(mutex_);
  is_closed_ = true;
}

Outbox::Counts Outbox::counts() const {
  std::lock_guard lock(mutex_);
  Counts counts = counts_;
  counts.held = held_.size();
  return counts;
}

}  // namespace fieldline::lib
