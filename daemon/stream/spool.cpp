// SPDX-License-Identifier: Apache-2.0
#include "stream/spool.h"

#include <algorithm>

#include "stream/frame.h"

namespace fieldline::stream {

bool Spool::offer(std::uint8_t type, std::uint8_t encoding, const RunId& run, std::uint32_t count,
                  ByteView body) {
  bool is_report = encoding == FL_ENCODING_JSON && count == 1;
  std::size_t room = limit_ + (is_report ? kSpoolReserve : 0);
  std::size_t size = sizeof(fl_frame_header) + sizeof(fl_item_head) + body.size();
  bool fits_frame = sizeof(fl_item_head) + body.size() <= FL_FRAME_MAX;
  if (count == 0 || !fits_frame || bytes_ + size > room) {
    dropped_ += count;
    return false;
  }
  frames_.push_back(
      {offered_ + count, count, encode_durable(type, encoding, offered_ + 1, run, count, body)});
  offered_ += count;
  bytes_ += size;
  return true;
}

void Spool::forget(std::uint64_t last) {
  acknowledged_ = std::max(acknowledged_, last);
  while (!frames_.empty() && frames_.front().last <= acknowledged_) {
    bytes_ -= frames_.front().frame.size();
    frames_.pop_front();
    if (next_ > 0) --next_;
  }
}

Result<void> Spool::resume(std::uint64_t last) {
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

void Spool::take(Bytes& to, std::size_t enough) {
  for (; next_ < frames_.size() && to.size() < enough; ++next_) {
    const Entry& entry = frames_[next_];
    append(to, entry.frame);
    if (entry.last <= sent_) resent_ += entry.count;
    sent_ = std::max(sent_, entry.last);
  }
}

}  // namespace fieldline::stream
