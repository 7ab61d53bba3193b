// SPDX-License-Identifier: Apache-2.0
#include "stream/spool.h"

#include <algorithm>
#include <new>
#include <utility>

#include "stream/frame.h"

namespace fieldline::stream {

namespace {

// A disk that failed is tried again after so much was offered: a full one costs a call for a
// quarter MiB, and is found when it has room.
constexpr std::size_t kOverflowBytes = 256 << 10;
constexpr std::size_t kLoadBytes = 256 << 10;

std::size_t size_of(const std::deque<SpoolFrame>& frames) {
  std::size_t sum = 0;
  for (const SpoolFrame& frame : frames) sum += frame.bytes.size();
  return sum;
}

}  // namespace

Spool::Spool(std::size_t limit, std::unique_ptr<SpoolDisk> disk)
    : limit_(limit), disk_(std::move(disk)) {
  if (!disk_) return;
  disk_->on_trouble = [this](const Error& error) {
    if (on_trouble) on_trouble(error);
  };
  if (disk_->last() == 0) return;
  is_leftover_ = true;
  offered_ = disk_->last();
  acknowledged_ = disk_->first() - 1;
}

// Memory that is not to be had is room that is not there.
bool Spool::offer(std::uint8_t type, std::uint8_t encoding, const RunId& run, std::uint32_t count,
                  ByteView body) {
  const bool is_report = encoding == FL_ENCODING_JSON && count == 1;
  const std::size_t limit = limit_ + (is_report ? kSpoolReserve : 0);
  const std::size_t size = sizeof(fl_frame_header) + sizeof(fl_item_head) + body.size();
  const bool fits_frame = sizeof(fl_item_head) + body.size() <= FL_FRAME_MAX;
  since_failure_ += size;
  bool taken = count > 0 && fits_frame && make_room(size, limit);
  try {
    if (taken) {
      push({offered_ + count, count,
            encode_durable(type, encoding, offered_ + 1, run, count, body)});
    }
  } catch (const std::bad_alloc&) {
    taken = false;
  }
  if (!taken) {
    dropped_ += count;
    return false;
  }
  offered_ += count;
  if (tail_bytes_ >= kOverflowBytes && bytes() > limit_ / 2) overflow();
  return true;
}

void Spool::push(SpoolFrame frame) {
  const std::size_t size = frame.bytes.size();
  const bool follows_head = tail_.empty() && (!disk_ || !disk_->has_unread());
  const bool to_head = !disk_ || (follows_head && bytes() + size <= limit_ / 2);
  (to_head ? head_ : tail_).push_back(std::move(frame));
  (to_head ? head_bytes_ : tail_bytes_) += size;
}

bool Spool::make_room(std::size_t size, std::size_t limit) {
  if (bytes() + size <= limit) return true;
  overflow();
  return bytes() + size <= limit;
}

void Spool::overflow() {
  if (!disk_ || tail_.empty() || (disk_fails_ && since_failure_ < kOverflowBytes)) return;
  since_failure_ = 0;
  const bool failed_before = std::exchange(disk_fails_, true);  // until it is known better
  try {
    auto stored = disk_->store(tail_);
    disk_fails_ = !stored;
    if (!stored && !failed_before && on_trouble) on_trouble(stored.error());
  } catch (const std::bad_alloc&) {
  }
  tail_bytes_ = size_of(tail_);
}

// True: the head has a frame to send.
Result<bool> Spool::refill() {
  while (next_ == head_.size()) {
    if (disk_ && disk_->has_unread()) {
      if (head_bytes_ >= limit_ / 4) return false;
      auto loaded = disk_->load(head_, head_bytes_, head_bytes_ + kLoadBytes);
      if (!loaded) return loaded.error();
    } else if (tail_.empty()) {
      settle();
      return false;
    } else {
      SpoolFrame& frame = tail_.front();
      const std::size_t size = frame.bytes.size();
      // What was sent goes to no disk: it may not take the room of what comes behind it.
      if (disk_ && !head_.empty() && head_bytes_ + size > limit_ / 2) return false;
      head_.push_back(std::move(frame));
      head_bytes_ += size;
      tail_bytes_ -= size;
      tail_.pop_front();
    }
  }
  return true;
}

void Spool::forget(std::uint64_t last) {
  acknowledged_ = std::max(acknowledged_, last);
  while (!head_.empty() && head_.front().last <= acknowledged_) {
    head_bytes_ -= head_.front().bytes.size();
    head_.pop_front();
    if (next_ > 0) --next_;
  }
  if (disk_) disk_->acknowledge(acknowledged_);
  settle();
}

// What the disk lost at the very end has nothing behind it that could be acknowledged.
void Spool::settle() {
  if (!disk_ || !head_.empty() || !tail_.empty() || disk_->has_unread()) return;
  acknowledged_ = offered_;
  disk_->acknowledge(acknowledged_);
}

Result<void> Spool::resume(std::uint64_t last) {
  if (is_leftover_) {
    offered_ = std::max(offered_, last);
    sent_ = std::max(sent_, last);
  }
  if (last > sent_) {
    return fail(Code::invalid, "the archive claims item " + std::to_string(last) +
                                   " of this session, of which " + std::to_string(sent_) +
                                   " were sent");
  }
  forget(last);
  next_ = 0;
  return {};
}

Result<void> Spool::acknowledge(std::uint64_t last) {
  if (last > sent_) {
    return fail(Code::invalid, "the archive acknowledges item " + std::to_string(last) +
                                   " of this session, of which " + std::to_string(sent_) +
                                   " were sent");
  }
  forget(last);
  return {};
}

Result<void> Spool::take(Bytes& to, std::size_t enough) {
  while (to.size() < enough) {
    auto more = refill();
    if (!more) return more.error();
    if (!*more) break;
    const SpoolFrame& frame = head_[next_];
    append(to, frame.bytes);
    ++next_;
    if (frame.last <= sent_) resent_ += frame.count;
    sent_ = std::max(sent_, frame.last);
  }
  return {};
}

// Behind this the head has holes where frames went to disk; nothing is taken any more.
bool Spool::keep() try {
  if (!disk_) return items() == 0;
  std::deque<SpoolFrame> rest;
  for (auto* frames : {&head_, &tail_}) {
    for (SpoolFrame& frame : *frames) {
      if (!frame.on_disk) rest.push_back(std::move(frame));
    }
    frames->clear();
  }
  head_bytes_ = tail_bytes_ = next_ = 0;
  auto stored = disk_->store(rest);
  if (!stored && on_trouble) on_trouble(stored.error());
  return stored.has_value();
} catch (const std::bad_alloc&) {
  return false;
}

}  // namespace fieldline::stream
