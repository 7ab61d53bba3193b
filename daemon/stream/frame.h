// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "base/run_id.h"
#include "proto/frame.h"

namespace fieldline::stream {

struct Frame {
  std::uint8_t type = 0;
  std::uint8_t encoding = 0;
  ByteView payload;  // whole, with fl_item_head if durable
};

// The head of a durable frame, host byte order, and what follows it.
struct Item {
  std::uint64_t sequence = 0;
  RunId run;
  std::uint32_t count = 1;
  ByteView body;
};

Bytes encode_frame(std::uint8_t type, std::uint8_t encoding, ByteView payload);
Bytes encode_durable(std::uint8_t type, std::uint8_t encoding, std::uint64_t sequence, const RunId& run,
                     std::uint32_t count, ByteView body);
Result<Item> decode_item(const Frame& frame);

// One header record as it stands in a frame, host byte order.
struct HeaderRecord {
  fl_header_record head{};  // members already in host byte order
  ByteView data;
};
void append_record(Bytes& to, const HeaderRecord& record);
// Calls on_record for each of item.count records; an error if the body is not exactly those.
template <class OnRecord>
Result<void> for_each_record(const Item& item, OnRecord&& on_record);

// Takes bytes as they come, gives whole frames; length over FL_FRAME_MAX is an error.
class FrameReader {
 public:
  void feed(ByteView bytes);
  Result<std::optional<Frame>> next();  // views are valid until the next feed()

 private:
  Bytes buffer_;
  std::size_t used_ = 0;
};

}  // namespace fieldline::stream
