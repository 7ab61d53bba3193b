// SPDX-License-Identifier: Apache-2.0
// pcapng as Fieldline uses it (proto/chunk.h, docs/format/chunk.md): chunks, query answers, live
// streams and what analysis reads are all this one format. Little-endian when written; both orders
// are read.
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

// Interface statistics, with the counters that pcapng has names for. A counter without a value is
// left out: 0 dropped is a claim of its own.
struct Statistics {
  std::uint32_t interface = 0;
  std::uint64_t timestamp_ns = 0;
  std::optional<std::uint64_t> received;   // isb_ifrecv
  std::optional<std::uint64_t> dropped;    // isb_ifdrop
  std::optional<std::uint64_t> delivered;  // isb_usrdeliv
};

// Appends blocks to a buffer; the caller writes the buffer where it wants it.
void write(Bytes& to, const Section& section);
void write(Bytes& to, const Interface& interface);
void write(Bytes& to, const Packet& packet);
void write(Bytes& to, const Report& report);
void write(Bytes& to, const Statistics& statistics);

using Block = std::variant<Section, Interface, Packet, Report, Statistics>;

// Longer blocks are taken for damage; 16 times the longest frame.
constexpr std::uint32_t kMaxBlock = 16u << 20;

// Takes bytes as they come and gives whole blocks. Blocks of unknown type are skipped and counted.
class Reader {
 public:
  // stop: after an error nothing more is given; the bytes are not pcapng from offset() on.
  // resynchronise: damage is counted in skipped_bytes() and reading goes on at the next plausible
  // block. An interface block may have been lost in the damage, and the number of every later one
  // would be wrong: packets of interfaces that were not known before the damage count as skipped
  // until the next section.
  enum class OnDamage { stop, resynchronise };

  explicit Reader(OnDamage on_damage = OnDamage::stop) : on_damage_(on_damage) {}

  void feed(ByteView bytes);
  // No more bytes will come: an unfinished block is damage (resynchronise only).
  void end() { ended_ = true; }
  // The next known block; no value while the bytes end inside a block.
  Result<std::optional<Block>> next();

  std::uint64_t offset() const { return offset_; }  // of the end of the last whole block
  std::size_t pending() const { return buffer_.size() - used_; }  // bytes of an unfinished block
  std::uint64_t skipped_blocks() const { return skipped_; }
  std::uint64_t skipped_bytes() const { return skipped_bytes_; }

 private:
  struct TimeScale {
    std::uint64_t ticks_per_second = 1'000'000;
    std::int64_t offset_s = 0;
  };
  struct Head;
  struct Fields;

  std::optional<Head> head() const;
  Result<std::optional<Block>> parse(const Head& head);
  Result<std::optional<Block>> parse_section(Fields fields);
  Result<std::optional<Block>> parse_interface(Fields fields);
  Result<std::optional<Block>> parse_packet(Fields fields);
  Result<std::optional<Block>> parse_statistics(Fields fields);
  Result<std::optional<Block>> parse_report(Fields fields);
  Result<std::uint64_t> time_of(std::uint32_t interface, std::uint32_t high,
                                std::uint32_t low) const;
  bool plausible(const Head& head) const;
  std::uint32_t last_length(const Head& head) const;
  Error bad_frame(const Head& head) const;
  void step_over(std::size_t bytes);

  OnDamage on_damage_;
  Bytes buffer_;
  std::size_t used_ = 0;
  std::uint64_t offset_ = 0;
  std::uint64_t skipped_ = 0;
  std::uint64_t skipped_bytes_ = 0;
  bool ended_ = false;
  bool swapped_ = false;
  bool in_section_ = false;
  bool lost_ = false;              // resynchronising
  std::size_t known_ = SIZE_MAX;   // interfaces that can be told apart; lowered by damage
  std::optional<Error> error_;     // stop
  std::vector<TimeScale> scales_;  // per interface of the section
};

}  // namespace fieldline::pcapng
