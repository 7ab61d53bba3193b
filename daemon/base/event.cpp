// SPDX-License-Identifier: Apache-2.0
#include "base/event.h"

#include <algorithm>
#include <cassert>
#include <cstddef>

namespace fieldline {

namespace {

bool fits(std::uint8_t source, std::uint16_t size) {
  switch (source) {
    case FL_EVENT_MODULE:
    case FL_EVENT_EBPF:
      return size == sizeof(magnet_record) || size == sizeof(magnet_record_ext);
    case FL_EVENT_TCP_INFO:
      return size == sizeof(fl_tcp_info);
    default:
      return false;
  }
}

}  // namespace

magnet_record_ext EventBody::record(std::uint32_t i) const {
  assert(i < count && !is_samples());
  magnet_record_ext record{};
  std::memcpy(&record, records.data() + std::size_t{i} * record_size, record_size);
  return record;
}

fl_tcp_info EventBody::sample(std::uint32_t i) const {
  assert(i < count && is_samples());
  fl_tcp_info sample;
  std::memcpy(&sample, records.data() + std::size_t{i} * record_size, sizeof sample);
  return sample;
}

EventBodyWriter::EventBodyWriter(fl_event_source source, std::uint16_t record_size,
                                 std::uint16_t cpu, const RunId& session)
    : record_size_(record_size) {
  fl_event_head head{};
  head.source = static_cast<std::uint8_t>(source);
  head.record_size = big_endian(record_size);
  head.cpu = big_endian(cpu);
  std::copy(session.bytes.begin(), session.bytes.end(), head.session);
  append_struct(body_, head);
}

void EventBodyWriter::add(ByteView record) {
  assert(record.size() == record_size_);
  append(body_, record);
  ++count_;
}

ByteView EventBodyWriter::end() {
  const __be32 count = big_endian(count_);
  std::memcpy(body_.data() + offsetof(fl_event_head, count), &count, sizeof count);
  return body_;
}

Result<EventBody> parse_events(ByteView bytes) {
  ByteReader reader(bytes);
  auto head = reader.take_struct<fl_event_head>();
  if (!head) return Error(head.error()).in("event head");
  EventBody body;
  body.source = static_cast<fl_event_source>(head->source);
  body.record_size = big_endian(std::uint16_t{head->record_size});
  body.count = big_endian(std::uint32_t{head->count});
  body.cpu = big_endian(std::uint16_t{head->cpu});
  std::copy(std::begin(head->session), std::end(head->session), body.session.bytes.begin());
  body.records = reader.rest();
  if (!fits(head->source, body.record_size)) {
    return fail(Code::unsupported, "event records of source " + std::to_string(head->source) +
                                       " with " + std::to_string(body.record_size) +
                                       " bytes each: not of this version");
  }
  if (body.count == 0 ||
      std::uint64_t{body.count} * body.record_size != std::uint64_t{body.records.size()}) {
    return fail(Code::invalid, std::to_string(body.records.size()) + " bytes for " +
                                   std::to_string(body.count) + " event records of " +
                                   std::to_string(body.record_size));
  }
  return body;
}

}  // namespace fieldline
