// SPDX-License-Identifier: Apache-2.0
#include "stream/spool_segment.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <cstddef>

#include <fmt/format.h>

#include "stream/frame.h"

namespace fieldline::stream {

namespace {

constexpr std::size_t kReadAhead = 256 << 10;
constexpr std::size_t kLongestFrame = sizeof(fl_frame_header) + FL_FRAME_MAX;
constexpr std::string_view kSuffix = ".spool";
constexpr std::size_t kNameLength = 32 + 1 + 16 + 1 + 16 + kSuffix.size();

std::uint32_t crc32(std::uint32_t before, const void* bytes, std::size_t count) {
  return ::crc32_gzip_refl(before, static_cast<const unsigned char*>(bytes), count);
}

std::uint32_t crc_of(const fl_spool_segment& head) {
  return crc32(0, &head, offsetof(fl_spool_segment, crc));
}

std::uint32_t crc_of(std::uint32_t length, ByteView frame) {
  return crc32(crc32(0, &length, sizeof length), frame.data(), frame.size());
}

// A frame of the numbers that it says, and nothing behind it.
Result<SpoolFrame> decode_spooled(ByteView bytes) {
  FrameReader reader;
  reader.feed(bytes);
  auto frame = reader.next();
  if (!frame) return frame.error();
  if (!*frame || sizeof(fl_frame_header) + (*frame)->payload.size() != bytes.size())
    return fail(Code::invalid, "its length is not its frame's");
  auto item = decode_item(**frame);
  if (!item) return item.error();
  return SpoolFrame{item->sequence + item->count - 1, item->count,
                    Bytes(bytes.begin(), bytes.end()), true};
}

}  // namespace

std::string SegmentHead::file() const {
  return fmt::format("{}-{}-{:016x}{}", session.hex(), to_hex(ByteView(archive).first(8)), first,
                     kSuffix);
}

bool is_segment_name(const std::string& file) {
  return file.size() == kNameLength && file.ends_with(kSuffix);
}

Bytes SegmentHead::encode() const {
  fl_spool_segment head{};
  std::memcpy(head.magic, FL_SPOOL_MAGIC, sizeof head.magic);
  head.version = FL_SPOOL_VERSION;
  std::memcpy(head.session, session.bytes.data(), sizeof head.session);
  std::memcpy(head.archive, archive.data(), sizeof head.archive);
  head.first = first;
  head.crc = crc_of(head);
  Bytes bytes;
  append_struct(bytes, head);
  return bytes;
}

Result<SegmentHead> SegmentHead::decode(ByteView bytes) {
  auto head = ByteReader(bytes).take_struct<fl_spool_segment>();
  if (!head) return head.error();
  if (std::memcmp(head->magic, FL_SPOOL_MAGIC, sizeof head->magic) != 0 ||
      head->crc != crc_of(*head))
    return fail(Code::invalid, "its head is damaged");
  if (head->version != FL_SPOOL_VERSION) {
    return fail(Code::unsupported, "it is of version " + std::to_string(head->version) +
                                       "; start the fieldlined that wrote it, or remove the file");
  }
  SegmentHead out;
  std::memcpy(out.session.bytes.data(), head->session, sizeof head->session);
  std::memcpy(out.archive.data(), head->archive, sizeof head->archive);
  out.first = head->first;
  if (out.first == 0) return fail(Code::invalid, "it begins with item 0");
  return out;
}

std::size_t size_in_segment(const SpoolFrame& frame) {
  return sizeof(fl_spool_frame) + frame.bytes.size();
}

void append_to_segment(Bytes& to, const SpoolFrame& frame) {
  const auto length = static_cast<std::uint32_t>(frame.bytes.size());
  append_struct(to, fl_spool_frame{length, crc_of(length, frame.bytes)});
  append(to, frame.bytes);
}

Result<SegmentReader> SegmentReader::open(FileSystem& files, const std::string& path) {
  auto file = files.open(path, FileSystem::Mode::read);
  if (!file) return file.error();
  SegmentReader reader(std::move(*file));
  Bytes bytes(sizeof(fl_spool_segment));
  auto read = reader.file_->read_at(0, bytes);
  if (!read) return read.error();
  bytes.resize(*read);
  auto head = SegmentHead::decode(bytes);
  if (!head) return Error(head.error()).in(path);
  reader.head_ = *head;
  return reader;
}

// That many bytes of the file at at_, read ahead of.
Result<ByteView> SegmentReader::look(std::size_t bytes, std::uint64_t end) {
  if (end - at_ < bytes) return fail(Code::truncated, "the segment ends inside a frame");
  if (at_ + bytes > buffer_at_ + buffer_.size()) {
    const std::uint64_t ahead = std::max<std::uint64_t>(bytes, kReadAhead);
    buffer_.resize(std::min(ahead, end - at_));
    buffer_at_ = at_;
    for (std::size_t have = 0; have < buffer_.size();) {
      auto read = file_->read_at(at_ + have, std::span(buffer_).subspan(have));
      if (!read || *read == 0) {
        buffer_.clear();
        if (!read) return read.error();
        return fail(Code::truncated, "the segment is shorter than what was written");
      }
      have += *read;
    }
  }
  return ByteView(buffer_).subspan(at_ - buffer_at_, bytes);
}

Result<std::optional<SpoolFrame>> SegmentReader::next(std::uint64_t end) {
  if (at_ >= end) return std::optional<SpoolFrame>();
  auto bytes = look(sizeof(fl_spool_frame), end);
  if (!bytes) return bytes.error();
  const auto head = *ByteReader(*bytes).take_struct<fl_spool_frame>();
  if (head.length > kLongestFrame) return fail(Code::invalid, "a frame that is too long");
  auto whole = look(sizeof head + head.length, end);
  if (!whole) return whole.error();
  ByteView payload = whole->subspan(sizeof head);
  if (crc_of(head.length, payload) != head.crc) return fail(Code::invalid, "a damaged frame");
  auto frame = decode_spooled(payload);
  if (!frame) return frame.error();
  at_ += sizeof head + head.length;
  return std::optional<SpoolFrame>(std::move(*frame));
}

}  // namespace fieldline::stream
