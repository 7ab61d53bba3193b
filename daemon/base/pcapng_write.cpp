// SPDX-License-Identifier: Apache-2.0
#include "base/pcapng.h"
#include "base/pcapng_options.h"

namespace fieldline::pcapng {

namespace {

// Begins a block at construction; finish() writes its length at both ends.
class BlockWriter {
 public:
  BlockWriter(Bytes& to, std::uint32_t type) : to_(to), start_(to.size()) { put(type).put(0u); }

  template <class T>
  BlockWriter& put(T value) {
    append_struct(to_, value);
    return *this;
  }
  BlockWriter& bytes(ByteView what) {
    append(to_, what);
    to_.resize(to_.size() + padded(what.size()) - what.size());
    return *this;
  }
  // A value that does not fit an option is left out: half a JSON comment would be worse than none.
  BlockWriter& option(std::uint16_t code, ByteView value) {
    if (value.empty() || value.size() > 0xffff) return *this;
    any_option_ = true;
    return put(code).put(static_cast<std::uint16_t>(value.size())).bytes(value);
  }
  void finish() {
    if (any_option_) put(std::uint32_t{kEnd});
    auto length = static_cast<std::uint32_t>(to_.size() - start_ + 4);
    put(length);
    std::memcpy(to_.data() + start_ + 4, &length, sizeof length);
  }

 private:
  Bytes& to_;
  std::size_t start_;
  bool any_option_ = false;
};

std::uint32_t high(std::uint64_t value) {
  return static_cast<std::uint32_t>(value >> 32);
}
std::uint32_t low(std::uint64_t value) {
  return static_cast<std::uint32_t>(value);
}

}  // namespace

void write(Bytes& to, const Section& section) {
  BlockWriter(to, FL_PCAPNG_SHB)
      .put(std::uint32_t{FL_PCAPNG_BYTE_ORDER})
      .put(std::uint16_t{1})
      .put(std::uint16_t{0})
      .put(std::int64_t{-1})
      .option(kComment, view(section.comment))
      .option(kSectionApplication, view(section.application))
      .finish();
}

// Timestamps are written in nanoseconds whatever the interface had where it was read.
void write(Bytes& to, const Interface& interface) {
  const std::uint8_t nanoseconds = 9;
  BlockWriter(to, FL_PCAPNG_IDB)
      .put(interface.link_type)
      .put(std::uint16_t{0})
      .put(std::uint32_t{FL_PCAPNG_SNAPLEN})
      .option(kInterfaceName, view(interface.name))
      .option(kInterfaceResolution, view_of(nanoseconds))
      .option(kComment, view(interface.comment))
      .finish();
}

void write(Bytes& to, const Packet& packet) {
  BlockWriter block(to, FL_PCAPNG_EPB);
  block.put(packet.interface)
      .put(high(packet.timestamp_ns))
      .put(low(packet.timestamp_ns))
      .put(static_cast<std::uint32_t>(packet.data.size()))
      .put(packet.wire_len)
      .bytes(packet.data);
  if (packet.sequence) block.option(kPacketId, view_of(*packet.sequence));
  if (packet.meta) {
    struct {
      std::uint32_t pen;
      fl_chunk_packet meta;
    } __attribute__((packed)) custom{FL_PCAPNG_PEN, *packet.meta};
    custom.meta.magic = FL_PCAPNG_MAGIC;
    block.option(kCustomBinary, view_of(custom));
  }
  block.finish();
}

void write(Bytes& to, const Report& report) {
  fl_chunk_report head{};
  head.magic = FL_PCAPNG_MAGIC;
  head.type = report.type;
  head.encoding = report.encoding;
  head.sequence = report.sequence;
  std::copy(report.run.bytes.begin(), report.run.bytes.end(), head.run);
  head.length = static_cast<std::uint32_t>(report.payload.size());
  BlockWriter(to, FL_PCAPNG_REPORT)
      .put(std::uint32_t{FL_PCAPNG_PEN})
      .put(head)
      .bytes(report.payload)
      .finish();
}

void write(Bytes& to, const Statistics& statistics) {
  BlockWriter block(to, FL_PCAPNG_ISB);
  block.put(statistics.interface)
      .put(high(statistics.timestamp_ns))
      .put(low(statistics.timestamp_ns));
  if (statistics.received) block.option(kReceived, view_of(*statistics.received));
  if (statistics.dropped) block.option(kDropped, view_of(*statistics.dropped));
  if (statistics.delivered) block.option(kDelivered, view_of(*statistics.delivered));
  block.finish();
}

}  // namespace fieldline::pcapng
