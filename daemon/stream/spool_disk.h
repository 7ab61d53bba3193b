// SPDX-License-Identifier: Apache-2.0
// The part of a spool that is on disk: a queue of frames in segment files. Nothing is synced, and
// the files outlive the process that wrote them, not the machine's power. Writes are the page
// cache's to take: while it makes the thread wait, the kernel's ring holds what comes.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "stream/spool_folder.h"
#include "stream/spool_segment.h"

namespace fieldline::stream {

class SpoolDisk {
 public:
  // A session's, that writes.
  SpoolDisk(std::shared_ptr<SpoolFolder> folder, const RunId& session, const Fingerprint& archive);
  // A dead session's, that is read only.
  SpoolDisk(std::shared_ptr<SpoolFolder> folder, const Leftover& leftover);

  // Moves frames out of the front of the queue as they are written: what is left there after an
  // error is not on disk.
  Result<void> store(std::deque<SpoolFrame>& frames);
  // Reads on into `to`, leaving out what is acknowledged, until `bytes`, which counts what is in
  // it, reaches `enough`. An error of the system may be over at the next call; what is damaged, or
  // cannot be read again and again, is lost and counted.
  Result<void> load(std::deque<SpoolFrame>& to, std::size_t& bytes, std::size_t enough);
  bool has_unread() const { return !segments_.empty() && segments_.back().last > read_to_; }
  // Removes the segments that it covers.
  void acknowledge(std::uint64_t last);

  std::uint64_t first() const { return segments_.empty() ? 0 : segments_.front().first; }
  std::uint64_t last() const { return segments_.empty() ? 0 : segments_.back().last; }
  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t written() const { return written_; }  // items, ever
  std::uint64_t lost() const { return lost_; }        // items, ever; of a leftover: at most
  std::uint64_t errors() const { return errors_; }    // of the disk

  // Told of what is lost, and of what cannot be removed.
  std::function<void(const Error&)> on_trouble;

 private:
  Result<void> write(const Bytes& bytes, std::uint64_t first);
  Result<void> begin_segment(std::uint64_t first);
  Result<void> open_reader(const Segment& segment);
  Result<std::optional<SpoolFrame>> read_next(const Segment& segment);
  void next_segment();
  Result<void> give_up_segment(const Segment& segment, const Error& error);
  std::string path_of(const Segment& segment) const;

  std::shared_ptr<SpoolFolder> folder_;
  RunId session_;
  Fingerprint archive_;
  std::deque<Segment> segments_;
  std::unique_ptr<File> writer_;         // of the last segment
  std::optional<SegmentReader> reader_;  // of segments_[reading_]
  std::size_t reading_ = 0;
  unsigned failures_ = 0;                         // to read it, since the last frame
  std::uint64_t reader_next_ = 0;                 // number that the reader's next frame bears
  std::uint64_t read_to_ = 0, acknowledged_ = 0;  // highest numbers
  std::uint64_t bytes_ = 0, written_ = 0, lost_ = 0, errors_ = 0;
};

}  // namespace fieldline::stream
