// SPDX-License-Identifier: Apache-2.0
// What was offered to an archive and is not known to be on its disk: encoded frames in the order of
// their numbers, without holes. No sockets.
//
// Order: head (in memory), then what is on disk, then tail (in memory). Nothing is written to disk
// while memory suffices for half of the limit; when it does not, the tail overflows to disk, and
// what is there comes back through the head. A frame is numbered before it goes to disk and stays
// in the tail until it is there: a disk that fails loses nothing, it only ends the room.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "base/bytes.h"
#include "base/result.h"
#include "base/run_id.h"
#include "stream/spool_disk.h"

namespace fieldline::stream {

// Above the limit for reports alone, so that final counts fit when records have filled the spool.
constexpr std::size_t kSpoolReserve = 1 << 20;

// Invariant: offered() = acknowledged() + items(). What is dropped gets no number; what the disk
// loses had one, and counts as acknowledged once a higher one is.
class Spool {
 public:
  // A disk that holds something is a dead session's, of whose items the archive alone knows which
  // were sent.
  explicit Spool(std::size_t limit, std::unique_ptr<SpoolDisk> disk = nullptr);
  Spool(const Spool&) = delete;
  // Numbers go on behind those of an earlier spool of the session, which gave up what it had.
  void go_on_behind(std::uint64_t last) { offered_ = acknowledged_ = sent_ = last; }

  // False, and `count` is dropped: no room, no memory, or longer than a frame may be.
  bool offer(std::uint8_t type, std::uint8_t encoding, const RunId& run, std::uint32_t count,
             ByteView body);

  // A new connection: the archive has everything up to `last`; what follows is sent (again). A
  // frame of which it has a part is sent whole. An error if `last` was never sent.
  Result<void> resume(std::uint64_t last);
  Result<void> acknowledge(std::uint64_t last);

  // Appends frames not yet sent on this connection, until `to` has at least `enough` bytes, all are
  // in it, or what was sent must be acknowledged first to make room for what is on disk. An error
  // of the disk may be over at the next call.
  Result<void> take(Bytes& to, std::size_t enough);
  // Sent on this connection or an earlier one, not acknowledged.
  bool awaits_ack() const { return sent_ > acknowledged_; }
  // What is in memory alone goes to disk, for a later life; false: not all, or there is no disk.
  bool keep();

  std::uint64_t offered() const { return offered_; }
  std::uint64_t acknowledged() const { return acknowledged_; }
  std::uint64_t items() const { return offered_ - acknowledged_; }
  // For what could be left out: the last quarter of the memory is for what must not be lost. A disk
  // that takes the overflow keeps it free.
  bool has_room() const { return bytes() < limit_ / 4 * 3; }
  std::uint64_t bytes() const { return head_bytes_ + tail_bytes_; }
  std::uint64_t dropped() const { return dropped_; }
  std::uint64_t resent() const { return resent_; }
  const SpoolDisk* disk() const { return disk_.get(); }
  // Something waits on disk for what is sent before it.
  bool lags() const { return disk_ && disk_->has_unread(); }

  // Told once when the disk begins to fail, and of what it lost.
  std::function<void(const Error&)> on_trouble;

 private:
  bool make_room(std::size_t size, std::size_t limit);
  void push(SpoolFrame frame);
  void overflow();
  Result<bool> refill();
  void forget(std::uint64_t last);
  void settle();

  std::size_t limit_;
  std::unique_ptr<SpoolDisk> disk_;
  std::deque<SpoolFrame> head_, tail_;
  std::size_t head_bytes_ = 0, tail_bytes_ = 0;
  std::size_t next_ = 0;  // index in the head of the first frame not yet sent on this connection
  std::uint64_t offered_ = 0, acknowledged_ = 0, sent_ = 0;  // highest numbers
  std::uint64_t dropped_ = 0, resent_ = 0;
  bool is_leftover_ = false;
  bool disk_fails_ = false;
  std::size_t since_failure_ = 0;  // bytes offered since the disk was last tried in vain
};

}  // namespace fieldline::stream
