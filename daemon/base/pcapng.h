// SPDX-License-Identifier: Apache-2.0
// pcapng as Fieldline uses it (proto/chunk.h, docs/format/chunk.md): chunks, query answers, live streams and
// what analysis reads are all this one format. Little-endian when written; both orders are read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/run_id.h"
#include "proto/chunk.h"

namespace fieldline::pcapng {

struct Section {
  std::string application;  // shb_userappl
  std::string comment;      // JSON
};

struct Interface {
  std::string name;     // if_name
  std::string comment;  // JSON: run, sensor, port ...
  std::uint16_t link_type = FL_PCAPNG_LINKTYPE_ETHERNET;
  std::uint8_t tsresol = 9;  // 10^-n s; the reader converts timestamps to ns by itself
};

struct Packet {
  std::uint32_t interface = 0;  // index of the interface block in its section
  std::uint64_t timestamp_ns = 0;
  std::uint32_t wire_len = 0;
  ByteView data;                          // valid until the next call
  std::optional<std::uint64_t> sequence;  // epb_packetid
  std::optional<fl_chunk_packet> meta;    // our custom option, host byte order
};

struct Report {
  std::uint8_t type = 0;  // enum fl_frame_type
  std::uint8_t encoding = 0;
  std::uint64_t sequence = 0;
  RunId run;
  ByteView payload;  // valid until the next call
};

// Interface statistics, with the counters that pcapng has names for.
struct Statistics {
  std::uint32_t interface = 0;
  std::uint64_t timestamp_ns = 0;
  std::uint64_t received = 0;   // isb_ifrecv
  std::uint64_t dropped = 0;    // isb_ifdrop
  std::uint64_t delivered = 0;  // isb_usrdeliv
};

// Appends blocks to a buffer; the caller writes the buffer where it wants it.
void write(Bytes& to, const Section& section);
void write(Bytes& to, const Interface& interface);
void write(Bytes& to, const Packet& packet);
void write(Bytes& to, const Report& report);
void write(Bytes& to, const Statistics& statistics);

using Block = std::variant<Section, Interface, Packet, Report, Statistics>;

// Takes bytes as they come and gives whole blocks. Blocks of unknown type are skipped and counted. After an
// error nothing more is given: the bytes are not pcapng from offset() on.
class Reader {
 public:
  void feed(ByteView bytes);
  // The next known block; no value while the bytes end inside a block.
  Result<std::optional<Block>> next();

  std::uint64_t offset() const { return offset_; }   // of the end of the last whole block
  std::size_t pending() const { return buffer_.size() - used_; }  // bytes of an unfinished block
  std::uint64_t skipped_blocks() const { return skipped_; }

 private:
  Bytes buffer_;
  std::size_t used_ = 0;
  std::uint64_t offset_ = 0;
  std::uint64_t skipped_ = 0;
  bool swapped_ = false;
  bool in_section_ = false;
  struct TimeScale {
    std::uint64_t ticks_per_second;
    std::int64_t offset_s;
  };
  std::vector<TimeScale> scales_;  // per interface of the section
};

}  // namespace fieldline::pcapng
