// SPDX-License-Identifier: Apache-2.0
// What was offered to an archive and is not known to be on its disk. Encoded frames in the order of
// their numbers, without holes; pure, no sockets.
#pragma once

#include <cstdint>
#include <deque>

#include "base/bytes.h"
#include "base/result.h"
#include "base/run_id.h"

namespace fieldline::stream {

// Above the limit for reports alone, so that final counts fit when records have filled the spool.
constexpr std::size_t kSpoolReserve = 1 << 20;

// Invariant: offered() = acknowledged() + items(). What is dropped gets no number.
class Spool {
 public:
  explicit Spool(std::size_t limit) : limit_(limit) {}

  // False, and `count` is dropped: no room, or longer than a frame may be.
  bool offer(std::uint8_t type, std::uint8_t encoding, const RunId& run, std::uint32_t count,
             ByteView body);

  // A new connection: the archive has everything up to `last`; what follows is sent (again). A
  // frame of which it has a part is sent whole. An error if `last` was never sent.
  Result<void> resume(std::uint64_t last);
  Result<void> acknowledge(std::uint64_t last);

  // Appends frames not yet sent on this connection, until `to` has at least `enough` bytes or all
  // are in it.
  void take(Bytes& to, std::size_t enough);
  bool has_unsent() const { return next_ < frames_.size(); }
  // Sent on this connection or an earlier one, not acknowledged.
  bool awaits_ack() const { return sent_ > acknowledged_; }

  std::uint64_t offered() const { return offered_; }
  std::uint64_t acknowledged() const { return acknowledged_; }
  std::uint64_t items() const { return offered_ - acknowledged_; }
  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t dropped() const { return dropped_; }
  std::uint64_t resent() const { return resent_; }

 private:
  struct Entry {
    std::uint64_t last;  // number of its last item
    std::uint32_t count;
    Bytes frame;
  };

  void forget(std::uint64_t last);

  std::size_t limit_;
  std::deque<Entry> frames_;
  std::size_t next_ = 0;  // index of the first frame not yet sent on this connection
  std::uint64_t offered_ = 0, acknowledged_ = 0, sent_ = 0;  // highest numbers
  std::uint64_t bytes_ = 0, dropped_ = 0, resent_ = 0;
};

}  // namespace fieldline::stream
