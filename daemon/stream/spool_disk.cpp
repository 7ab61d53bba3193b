// SPDX-License-Identifier: Apache-2.0
#include "stream/spool_disk.h"

#include <algorithm>
#include <utility>

namespace fieldline::stream {

namespace {

constexpr std::uint64_t kSegmentBytes = 8 << 20;  // freed as a whole
constexpr unsigned kTries = 3;
constexpr std::size_t kWriteBytes = 256 << 10;  // one call for thousands of records

// Of the folder's limit, given back unless kept.
class Share {
 public:
  Share(SpoolFolder& folder, std::uint64_t bytes)
      : folder_(folder), bytes_(folder.take(bytes) ? bytes : 0) {}
  ~Share() { folder_.give_back(bytes_); }
  Share(const Share&) = delete;
  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t keep() { return std::exchange(bytes_, 0); }

 private:
  SpoolFolder& folder_;
  std::uint64_t bytes_;
};

}  // namespace

SpoolDisk::SpoolDisk(std::shared_ptr<SpoolFolder> folder, const RunId& session,
                     const Fingerprint& archive)
    : folder_(std::move(folder)), session_(session), archive_(archive) {}

SpoolDisk::SpoolDisk(std::shared_ptr<SpoolFolder> folder, const Leftover& leftover)
    : SpoolDisk(std::move(folder), leftover.session, leftover.archive) {
  segments_.assign(leftover.segments.begin(), leftover.segments.end());
  bytes_ = leftover.bytes();
  read_to_ = first() - 1;
}

std::string SpoolDisk::path_of(const Segment& segment) const {
  return folder_->path_of({session_, archive_, segment.first});
}

Result<void> SpoolDisk::store(std::deque<SpoolFrame>& frames) {
  while (!frames.empty()) {
    Bytes batch;
    std::size_t taken = 0;
    std::uint64_t last = frames.front().first() - 1, items = 0;
    const std::uint64_t first = last + 1;
    for (const SpoolFrame& frame : frames) {
      if (batch.size() >= kWriteBytes || frame.first() != last + 1) break;
      append_to_segment(batch, frame);
      last = frame.last;
      items += frame.count;
      ++taken;
    }
    auto done = write(batch, first);
    if (!done) {
      ++errors_;
      return done;
    }
    segments_.back().last = last;
    written_ += items;
    frames.erase(frames.begin(), frames.begin() + static_cast<std::ptrdiff_t>(taken));
  }
  return {};
}

// After a failure the segment takes nothing more: what stands behind its last whole frame is
// unknown, and a reader of a later life goes on with the next segment.
Result<void> SpoolDisk::write(const Bytes& bytes, std::uint64_t first) {
  const bool goes_on = writer_ != nullptr && segments_.back().last + 1 == first &&
                       segments_.back().bytes < kSegmentBytes;
  Share share(*folder_, bytes.size() + (goes_on ? 0 : sizeof(fl_spool_segment)));
  if (share.bytes() == 0) {
    return fail(Code::exhausted, folder_->directory() + " has reached spool_disk_mib");
  }
  if (!goes_on) {
    auto begun = begin_segment(first);
    if (!begun) return begun;
  }
  Segment& segment = segments_.back();
  auto written = writer_->append(bytes);
  if (written) {
    segment.bytes += bytes.size();
    bytes_ += share.keep();
    return {};
  }
  (void)writer_->truncate(segment.bytes);
  writer_.reset();
  if (!goes_on) {
    const std::string path = path_of(segment);
    segments_.pop_back();
    (void)folder_->files().remove(path);
  }
  return written;
}

// A file of that name is what an earlier attempt could not remove.
Result<void> SpoolDisk::begin_segment(std::uint64_t first) {
  writer_.reset();
  Segment segment{first, first - 1, sizeof(fl_spool_segment)};
  auto file = folder_->files().open(path_of(segment), FileSystem::Mode::append);
  if (!file) return file.error();
  auto emptied = (*file)->truncate(0);
  if (!emptied) return emptied;
  auto headed = (*file)->append(SegmentHead{session_, archive_, first}.encode());
  if (!headed) {
    (void)folder_->files().remove(path_of(segment));
    return headed;
  }
  segments_.push_back(segment);
  writer_ = std::move(*file);
  return {};
}

Result<void> SpoolDisk::open_reader(const Segment& segment) {
  auto opened = SegmentReader::open(folder_->files(), path_of(segment));
  if (!opened) return opened.error();
  const SegmentHead& head = opened->head();
  if (head.session != session_ || head.archive != archive_ || head.first != segment.first)
    return fail(Code::invalid, "it is another segment's");
  reader_.emplace(std::move(*opened));
  reader_next_ = segment.first;
  return {};
}

// Whatever ends it before its frame was kept, the segment is read from its begin again.
Result<std::optional<SpoolFrame>> SpoolDisk::read_next(const Segment& segment) {
  if (!reader_) {
    auto opened = open_reader(segment);
    if (!opened) return opened.error();
  }
  auto frame = reader_->next(segment.bytes);
  if (!frame || !*frame) return frame;
  if ((*frame)->first() != reader_next_ || (*frame)->last > segment.last)
    return fail(Code::invalid, "a frame of other numbers");
  reader_next_ = (*frame)->last + 1;
  return frame;
}

void SpoolDisk::next_segment() {
  read_to_ = std::max(read_to_, segments_[reading_].last);
  if (reading_ + 1 == segments_.size()) writer_.reset();  // nothing is written behind damage
  reader_.reset();
  failures_ = 0;
  ++reading_;
}

Result<void> SpoolDisk::give_up_segment(const Segment& segment, const Error& error) {
  reader_.reset();
  if (error.code == Code::io && ++failures_ < kTries) return error;
  const std::uint64_t from = std::max({read_to_, acknowledged_, segment.first - 1});
  const std::uint64_t items = segment.last > from ? segment.last - from : 0;
  next_segment();
  if (items == 0) return {};  // it is what a failed write left, which was never called stored
  lost_ += items;
  ++errors_;
  if (on_trouble) {
    on_trouble(Error(error).in(path_of(segment) + ": the items " + std::to_string(from + 1) +
                               " to " + std::to_string(segment.last) + " are lost"));
  }
  return {};
}

Result<void> SpoolDisk::load(std::deque<SpoolFrame>& to, std::size_t& bytes,
                             std::size_t enough) try {
  while (bytes < enough && has_unread()) {
    const Segment& segment = segments_[reading_];
    if (segment.last <= read_to_) {
      next_segment();
      continue;
    }
    auto frame = read_next(segment);
    if (!frame) {
      auto given_up = give_up_segment(segment, frame.error());
      if (!given_up) return given_up;
    } else if (!*frame) {
      next_segment();
    } else {
      const std::uint64_t last = (*frame)->last;
      if (last > std::max(acknowledged_, read_to_)) {
        const std::size_t size = (*frame)->bytes.size();
        to.push_back(std::move(**frame));
        bytes += size;
        failures_ = 0;
      }
      read_to_ = std::max(read_to_, last);
    }
  }
  return {};
} catch (...) {
  reader_.reset();
  throw;
}

void SpoolDisk::acknowledge(std::uint64_t last) {
  acknowledged_ = std::max(acknowledged_, last);
  while (!segments_.empty() && segments_.front().last <= acknowledged_) {
    const Segment segment = segments_.front();
    if (segments_.size() == 1) writer_.reset();
    auto removed = folder_->files().remove(path_of(segment));
    if (removed) {
      folder_->give_back(segment.bytes);
    } else {
      ++errors_;
      if (on_trouble) on_trouble(removed.error());
    }
    bytes_ -= segment.bytes;
    segments_.pop_front();
    read_to_ = std::max(read_to_, segment.last);
    if (reading_ > 0) {
      --reading_;
    } else {
      reader_.reset();
    }
  }
}

}  // namespace fieldline::stream
