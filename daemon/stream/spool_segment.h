// SPDX-License-Identifier: Apache-2.0
// One file of spooled frames (docs/format/spool.md), made and read back. The disk is not trusted:
// every frame is checked against its CRC and decoded before it is given.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/file.h"
#include "base/result.h"
#include "base/run_id.h"
#include "proto/spool.h"
#include "stream/identity.h"

namespace fieldline::stream {

// A durable frame as it goes over the wire.
struct SpoolFrame {
  std::uint64_t last = 0;  // number of its last item
  std::uint32_t count = 0;
  Bytes bytes;
  bool on_disk = false;  // in a segment as well

  std::uint64_t first() const { return last - count + 1; }
};

struct SegmentHead {
  RunId session;
  Fingerprint archive{};
  std::uint64_t first = 0;

  // SESSION-ARCHIVE-FIRST.spool: sorted by name, a session's segments are sorted by number.
  std::string file() const;
  Bytes encode() const;
  static Result<SegmentHead> decode(ByteView bytes);
};
bool is_segment_name(const std::string& file);

std::size_t size_in_segment(const SpoolFrame& frame);
void append_to_segment(Bytes& to, const SpoolFrame& frame);

class SegmentReader {
 public:
  static Result<SegmentReader> open(FileSystem& files, const std::string& path);

  const SegmentHead& head() const { return head_; }
  // The frame that ends at or before `end`; no value: nothing is left up to there. An error stays
  // one: there is no way to find the next frame.
  Result<std::optional<SpoolFrame>> next(std::uint64_t end);

 private:
  explicit SegmentReader(std::unique_ptr<File> file) : file_(std::move(file)) {}
  Result<ByteView> look(std::size_t bytes, std::uint64_t end);

  std::unique_ptr<File> file_;
  SegmentHead head_;
  std::uint64_t at_ = sizeof(fl_spool_segment);  // of the file
  Bytes buffer_;                                 // the file's bytes from buffer_at_ on
  std::uint64_t buffer_at_ = 0;
};

}  // namespace fieldline::stream
