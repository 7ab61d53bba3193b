// SPDX-License-Identifier: Apache-2.0
#include "stream/frame.h"

#include <cassert>
#include <limits>

#include "base/application_event.h"
#include "base/event.h"
#include "base/port_totals.h"
#include "stream/document.h"

namespace fieldline::stream {

namespace {

Bytes with_header(std::uint8_t type, std::uint8_t encoding, std::size_t length) {
  assert(length <= std::numeric_limits<std::uint32_t>::max());
  fl_frame_header header{};
  header.type = type;
  header.encoding = encoding;
  header.length = big_endian(static_cast<std::uint32_t>(length));
  Bytes out;
  out.reserve(sizeof header + length);
  append_struct(out, header);
  return out;
}

}  // namespace

Bytes encode_frame(std::uint8_t type, std::uint8_t encoding, ByteView payload) {
  Bytes out = with_header(type, encoding, payload.size());
  append(out, payload);
  return out;
}

Bytes encode_durable(std::uint8_t type, std::uint8_t encoding, std::uint64_t sequence,
                     const RunId& run, std::uint32_t count, ByteView body) {
  fl_item_head head{};
  head.sequence = big_endian(sequence);
  std::memcpy(head.run, run.bytes.data(), sizeof head.run);
  head.count = big_endian(count);
  Bytes out = with_header(type, encoding, sizeof head + body.size());
  append_struct(out, head);
  append(out, body);
  return out;
}

Result<Item> decode_item(const Frame& frame) {
  if (!FL_FRAME_IS_DURABLE(frame.type)) {
    return fail(Code::invalid,
                "frame type " + std::to_string(frame.type) + " carries no numbered items");
  }
  ByteReader reader(frame.payload);
  auto head = reader.take_struct<fl_item_head>();
  if (!head) return Error(head.error()).in("item head");
  Item item;
  item.sequence = big_endian(std::uint64_t{head->sequence});
  std::memcpy(item.run.bytes.data(), head->run, sizeof head->run);
  item.count = big_endian(std::uint32_t{head->count});
  item.body = reader.rest();
  if (item.sequence == 0) return fail(Code::invalid, "item number 0; items are numbered from 1");
  if (item.count == 0) return fail(Code::invalid, "a frame of no items");
  if (item.sequence > std::numeric_limits<std::uint64_t>::max() - item.count) {
    return fail(Code::invalid, "item numbers overflow");
  }
  if (frame.type != FL_FRAME_HEADER_RECORDS && item.count != 1) {
    return fail(Code::invalid, std::to_string(item.count) + " items in a frame of type " +
                                   std::to_string(frame.type) + ", which is one item");
  }
  return item;
}

void append_record(Bytes& to, const HeaderRecord& record) {
  assert(record.data.size() <= std::numeric_limits<std::uint16_t>::max());
  const fl_header_record& host = record.head;
  fl_header_record wire{};
  wire.timestamp_ns = big_endian(std::uint64_t{host.timestamp_ns});
  wire.digest = big_endian(std::uint64_t{host.digest});
  wire.wire_len = big_endian(std::uint32_t{host.wire_len});
  wire.cap_len = big_endian(static_cast<std::uint16_t>(record.data.size()));
  wire.port = big_endian(std::uint16_t{host.port});
  wire.queue = big_endian(std::uint16_t{host.queue});
  wire.flags = big_endian(std::uint16_t{host.flags});
  wire.gso_size = big_endian(std::uint16_t{host.gso_size});
  wire.gso_segs = big_endian(std::uint16_t{host.gso_segs});
  append_struct(to, wire);
  append(to, record.data);
}

Result<HeaderRecord> take_record(ByteReader& body) {
  auto wire = body.take_struct<fl_header_record>();
  if (!wire) return Error(wire.error()).in("record head");
  HeaderRecord record;
  fl_header_record& host = record.head;
  host.timestamp_ns = big_endian(std::uint64_t{wire->timestamp_ns});
  host.digest = big_endian(std::uint64_t{wire->digest});
  host.wire_len = big_endian(std::uint32_t{wire->wire_len});
  host.cap_len = big_endian(std::uint16_t{wire->cap_len});
  host.port = big_endian(std::uint16_t{wire->port});
  host.queue = big_endian(std::uint16_t{wire->queue});
  host.flags = big_endian(std::uint16_t{wire->flags});
  host.gso_size = big_endian(std::uint16_t{wire->gso_size});
  host.gso_segs = big_endian(std::uint16_t{wire->gso_segs});
  if (host.cap_len > host.wire_len) {
    return fail(Code::invalid, "captured " + std::to_string(host.cap_len) +
                                   " bytes of a packet of " + std::to_string(host.wire_len));
  }
  auto data = body.take(host.cap_len);
  if (!data) return Error(data.error()).in("record data");
  record.data = *data;
  return record;
}

Result<Item> check_item(const Frame& frame) {
  auto item = decode_item(frame);
  if (!item) return item.error();
  switch (frame.type) {
    case FL_FRAME_HEADER_RECORDS: {
      if (frame.encoding != FL_ENCODING_BINARY) {
        return fail(Code::invalid, "header records in encoding " + std::to_string(frame.encoding));
      }
      auto walked = for_each_record(*item, [](const HeaderRecord&) {});
      if (!walked) return walked.error();
      break;
    }
    case FL_FRAME_ACTIVATION:
    case FL_FRAME_FINAL_COUNTS:
    case FL_FRAME_CLOCK_QUALITY:
    case FL_FRAME_CONFIGURATION: {
      if (frame.encoding != FL_ENCODING_JSON) {
        return fail(Code::invalid, "a report in encoding " + std::to_string(frame.encoding));
      }
      auto report = parse_document(item->body);
      if (!report) return Error(report.error()).in("report");
      break;
    }
    case FL_FRAME_EVENT_RECORDS: {
      if (frame.encoding != FL_ENCODING_BINARY) {
        return fail(Code::invalid, "event records in encoding " + std::to_string(frame.encoding));
      }
      // What is of no run is shown to the readers of every run of its session.
      if (item->run.is_zero()) return fail(Code::invalid, "event records of no run");
      auto events = parse_events(item->body);
      // A source or a record that a later version knows is stored as it is.
      if (!events && events.error().code != Code::unsupported) return events.error();
      break;
    }
    case FL_FRAME_PORT_TOTALS: {
      if (frame.encoding != FL_ENCODING_BINARY) {
        return fail(Code::invalid, "port totals in encoding " + std::to_string(frame.encoding));
      }
      // One copy serves every run that was on.
      if (!item->run.is_zero()) return fail(Code::invalid, "port totals of one run");
      auto totals = parse_totals(item->body);
      if (!totals && totals.error().code != Code::unsupported) return totals.error();
      break;
    }
    case FL_FRAME_APPLICATION_EVENT: {
      if (frame.encoding != FL_ENCODING_BINARY) {
        return fail(Code::invalid,
                    "an application event in encoding " + std::to_string(frame.encoding));
      }
      if (item->run.is_zero()) return fail(Code::invalid, "an application event of no run");
      auto event = parse_application_event(item->body);
      if (!event && event.error().code != Code::unsupported) return event.error();
      break;
    }
    default:
      break;
  }
  return item;
}

void FrameReader::feed(ByteView bytes) {
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(used_));
  used_ = 0;
  append(buffer_, bytes);
}

Result<std::optional<Frame>> FrameReader::next() {
  ByteReader reader(ByteView(buffer_).subspan(used_));
  if (reader.left() < sizeof(fl_frame_header)) return std::optional<Frame>();
  auto header = reader.take_struct<fl_frame_header>();
  std::uint32_t length = big_endian(std::uint32_t{header->length});
  if (length > limit_) {
    return fail(Code::invalid, "a frame of " + std::to_string(length) + " bytes; the limit is " +
                                   std::to_string(limit_));
  }
  if (reader.left() < length) return std::optional<Frame>();
  used_ += sizeof(fl_frame_header) + length;
  return std::optional<Frame>(Frame{header->type, header->encoding, *reader.take(length)});
}

}  // namespace fieldline::stream
