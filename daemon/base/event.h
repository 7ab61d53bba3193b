// SPDX-License-Identifier: Apache-2.0
// The body of an event frame (proto/event.h): written by a host, judged by an archive, read by
// whoever shows it.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/run_id.h"
#include "proto/event.h"

namespace fieldline {

// What stands in one frame, host byte order; records are views of the body.
struct EventBody {
  fl_event_source source = FL_EVENT_EBPF;
  std::uint16_t record_size = 0, cpu = 0;
  std::uint32_t count = 0;
  RunId session;
  ByteView records;

  bool is_samples() const { return source == FL_EVENT_TCP_INFO; }
  bool has_extension() const { return record_size == sizeof(magnet_record_ext); }
  // i < count. Of a record without extension only the head is set.
  magnet_record_ext record(std::uint32_t i) const;
  fl_tcp_info sample(std::uint32_t i) const;
};

// A head in front of which the records are still to come; end() fills in their number.
class EventBodyWriter {
 public:
  EventBodyWriter(fl_event_source source, std::uint16_t record_size, std::uint16_t cpu,
                  const RunId& session);
  void add(ByteView record);  // of record_size bytes
  std::uint32_t count() const { return count_; }
  std::size_t size() const { return body_.size(); }
  ByteView end();  // the whole body; nothing is added after it

 private:
  Bytes body_;
  std::uint16_t record_size_;
  std::uint32_t count_ = 0;
};

// A body whose source, record size and length fit together, or what is wrong with it.
Result<EventBody> parse_events(ByteView body);

}  // namespace fieldline
