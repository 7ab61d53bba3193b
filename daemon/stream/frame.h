// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

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
Bytes encode_durable(std::uint8_t type, std::uint8_t encoding, std::uint64_t sequence,
                     const RunId& run, std::uint32_t count, ByteView body);
Result<Item> decode_item(const Frame& frame);

// One header record as it stands in a frame, host byte order.
struct HeaderRecord {
  fl_header_record head{};  // members already in host byte order
  ByteView data;
};
// cap_len is taken from data, which has at most 65,535 bytes.
void append_record(Bytes& to, const HeaderRecord& record);
// The next record of a body.
Result<HeaderRecord> take_record(ByteReader& body);

// Calls on_record for each of item.count records; an error if the body is not exactly those.
// on_record gives void, or a Result<void> whose error ends the walk.
template <class OnRecord>
Result<void> for_each_record(const Item& item, OnRecord&& on_record) {
  ByteReader body(item.body);
  for (std::uint32_t i = 0; i < item.count; ++i) {
    auto record = take_record(body);
    if (!record) {
      return Error(record.error())
          .in("record " + std::to_string(i + 1) + " of " + std::to_string(item.count));
    }
    if constexpr (std::is_void_v<std::invoke_result_t<OnRecord&, const HeaderRecord&>>) {
      on_record(*record);
    } else {
      Result<void> went = on_record(*record);
      if (!went) return went.error();
    }
  }
  if (body.left() != 0) {
    return fail(Code::invalid, std::to_string(body.left()) + " bytes behind the last of " +
                                   std::to_string(item.count) + " records");
  }
  return {};
}

// What any archive may demand of a durable frame before it is stored: a sound head, an encoding
// that fits the type, exactly `count` records, or one JSON object.
Result<Item> check_item(const Frame& frame);

// Takes bytes as they come, gives whole frames. A length over the limit is an error, and stays one:
// there is no way to find the next frame.
class FrameReader {
 public:
  explicit FrameReader(std::uint32_t limit = FL_FRAME_MAX) : limit_(limit) {}
  void set_limit(std::uint32_t limit) { limit_ = limit; }

  void feed(ByteView bytes);
  Result<std::optional<Frame>> next();  // views are valid until the next feed()

 private:
  Bytes buffer_;
  std::size_t used_ = 0;
  std::uint32_t limit_;
};

}  // namespace fieldline::stream
