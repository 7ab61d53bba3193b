// SPDX-License-Identifier: Apache-2.0
#include "base/pcapng.h"

#include <algorithm>
#include <limits>

#include "base/pcapng_options.h"

namespace fieldline::pcapng {

namespace {

constexpr std::size_t kFrame = 12;  // type, length, and the length again behind the body
constexpr std::size_t kMaxInterfaces = 1 << 20;

}  // namespace

struct Reader::Head {
  std::uint32_t type = 0, length = 0;
  bool swapped = false;
};

// The body of a block, read from the front in the section's byte order.
struct Reader::Fields {
  ByteReader body;
  bool swapped;

  template <class T>
  Result<T> take() {
    auto value = body.take_struct<T>();
    if (value && swapped) return big_endian(*value);
    return value;
  }
  // An option's value as an integer of exactly that size.
  template <class T>
  std::optional<T> integer(ByteView value) const {
    if (value.size() != sizeof(T)) return std::nullopt;
    T number;
    std::memcpy(&number, value.data(), sizeof number);
    return swapped ? big_endian(number) : number;
  }
  // Calls on_option(code, value) for each option up to the end of the body.
  template <class OnOption>
  Result<void> options(OnOption&& on_option) {
    while (body.left() > 0) {
      auto code = take<std::uint16_t>();
      auto length = take<std::uint16_t>();
      if (!code || !length) return fail(Code::invalid, "option cut off");
      if (*code == kEnd) return {};
      auto value = body.take(padded(*length));
      if (!value)
        return fail(Code::invalid, "option " + std::to_string(*code) + " is longer than its block");
      on_option(*code, value->first(*length));
    }
    return {};
  }
};

void Reader::feed(ByteView bytes) {
  if (error_) return;
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(used_));
  used_ = 0;
  append(buffer_, bytes);
}

// A section header tells its own byte order; every other block has that of its section.
std::optional<Reader::Head> Reader::head() const {
  if (pending() < kFrame) return std::nullopt;
  std::uint32_t words[3];
  std::memcpy(words, buffer_.data() + used_, sizeof words);
  Head head{words[0], words[1], swapped_};
  if (words[0] == FL_PCAPNG_SHB) {
    head.swapped = words[2] == __builtin_bswap32(FL_PCAPNG_BYTE_ORDER);
    if (!head.swapped && words[2] != FL_PCAPNG_BYTE_ORDER) head.length = 0;
  }
  if (head.swapped) {
    head.type = big_endian(head.type);
    head.length = big_endian(head.length);
  }
  return head;
}

void Reader::step_over(std::size_t bytes) {
  used_ += bytes;
  offset_ += bytes;
  skipped_bytes_ += bytes;
}

// While resynchronising only what we write ourselves is taken for a block, and only if both lengths
// agree.
bool Reader::plausible(const Head& found) const {
  switch (found.type) {
    case FL_PCAPNG_SHB:
      break;
    case FL_PCAPNG_IDB:
    case FL_PCAPNG_ISB:
    case FL_PCAPNG_EPB:
    case FL_PCAPNG_REPORT:
      if (in_section_) break;
      [[fallthrough]];
    default:
      return false;
  }
  if (found.length < kFrame || found.length % 4 != 0 || found.length > kMaxBlock) return false;
  return found.length <= pending() || !ended_;
}

// A block whose own bounds hold is stepped over whole, so that nothing inside a packet is ever
// taken for a block; otherwise the search goes on word by word.
Result<std::optional<Block>> Reader::next() {
  for (;;) {
    if (error_) return *error_;
    auto found = head();
    if (!found) {
      if (ended_ && on_damage_ == OnDamage::resynchronise) step_over(pending());
      return std::optional<Block>{};
    }
    if (lost_ && !plausible(*found)) {
      step_over(4);
      continue;
    }
    bool sane = (in_section_ || found->type == FL_PCAPNG_SHB) && found->length >= kFrame &&
                found->length % 4 == 0 && found->length <= kMaxBlock;
    bool whole = sane && found->length <= pending();
    if (sane && !whole && (!ended_ || on_damage_ == OnDamage::stop)) return std::optional<Block>{};
    bool framed = whole && last_length(*found) == found->length;
    auto block = framed ? parse(*found) : Result<std::optional<Block>>(bad_frame(*found));
    if (block && block->has_value()) {
      lost_ = false;
      used_ += found->length;
      offset_ += found->length;
      return block;
    }
    if (on_damage_ == OnDamage::resynchronise) known_ = std::min(known_, scales_.size());
    if (block) {
      skipped_++;
      lost_ = false;
      used_ += found->length;
      offset_ += found->length;
    } else if (on_damage_ == OnDamage::stop) {
      error_ = Error(block.error()).in("not pcapng at byte " + std::to_string(offset_));
    } else {
      lost_ = !framed;
      step_over(framed ? found->length : 4);
    }
  }
}

std::uint32_t Reader::last_length(const Head& head) const {
  std::uint32_t length;
  std::memcpy(&length, buffer_.data() + used_ + head.length - 4, sizeof length);
  return head.swapped ? big_endian(length) : length;
}

Error Reader::bad_frame(const Head& head) const {
  if (!in_section_ && (head.type != FL_PCAPNG_SHB || head.length == 0)) {
    return fail(Code::invalid, "no section header; give a pcapng file");
  }
  return fail(Code::invalid,
              "a block of " + std::to_string(head.length) + " bytes, or its two lengths differ");
}

Result<std::optional<Block>> Reader::parse(const Head& head) {
  ByteView body(buffer_.data() + used_ + 8, head.length - kFrame);
  Fields fields{ByteReader(body), head.swapped};
  switch (head.type) {
    case FL_PCAPNG_SHB:
      return parse_section(fields);
    case FL_PCAPNG_IDB:
      return parse_interface(fields);
    case FL_PCAPNG_EPB:
      return parse_packet(fields);
    case FL_PCAPNG_ISB:
      return parse_statistics(fields);
    case FL_PCAPNG_REPORT:
      return parse_report(fields);
    default:
      return std::optional<Block>{};
  }
}

Result<std::optional<Block>> Reader::parse_section(Fields fields) {
  auto order = fields.take<std::uint32_t>();
  auto major = fields.take<std::uint16_t>();
  auto minor = fields.take<std::uint16_t>();
  auto length = fields.take<std::uint64_t>();
  if (!order || !major || !minor || !length) return fail(Code::invalid, "section header cut off");
  if (*major != 1) return fail(Code::unsupported, "pcapng version " + std::to_string(*major));
  Section section;
  auto done = fields.options([&](std::uint16_t code, ByteView value) {
    if (code == kComment) section.comment = text(value);
    if (code == kSectionApplication) section.application = text(value);
  });
  if (!done) return done.error();
  swapped_ = fields.swapped;
  in_section_ = true;
  known_ = SIZE_MAX;
  scales_.clear();
  return std::optional<Block>(std::move(section));
}

Result<std::optional<Block>> Reader::parse_interface(Fields fields) {
  auto link_type = fields.take<std::uint16_t>();
  auto reserved = fields.take<std::uint16_t>();
  auto snaplen = fields.take<std::uint32_t>();
  if (!link_type || !reserved || !snaplen) return fail(Code::invalid, "interface block cut off");
  Interface interface;
  interface.link_type = *link_type;
  interface.tsresol = 6;
  TimeScale scale;
  auto done = fields.options([&](std::uint16_t code, ByteView value) {
    if (code == kInterfaceName) interface.name = text(value);
    if (code == kComment) interface.comment = text(value);
    if (code == kInterfaceResolution && value.size() == 1) interface.tsresol = value[0];
    if (code == kInterfaceOffset) {
      if (auto offset = fields.integer<std::uint64_t>(value))
        scale.offset_s = static_cast<std::int64_t>(*offset);
    }
  });
  if (!done) return done.error();
  unsigned exponent = interface.tsresol & 0x7f;
  bool binary = (interface.tsresol & 0x80) != 0;
  if (exponent > (binary ? 63u : 19u))
    return fail(Code::unsupported, "timestamps finer than 64 bits count");
  scale.ticks_per_second = 1;
  while (exponent-- > 0) scale.ticks_per_second *= binary ? 2 : 10;
  if (scales_.size() >= kMaxInterfaces)
    return fail(Code::exhausted, "too many interfaces in one section");
  scales_.push_back(scale);
  return std::optional<Block>(std::move(interface));
}

// Saturates: a timestamp before the epoch or past 2554 is somebody's mistake, and not worth losing
// a packet for.
Result<std::uint64_t> Reader::time_of(std::uint32_t interface, std::uint32_t high_word,
                                      std::uint32_t low_word) const {
  if (interface >= std::min(scales_.size(), known_)) {
    return fail(Code::invalid, "interface " + std::to_string(interface) + " is not declared");
  }
  const TimeScale& scale = scales_[interface];
  std::uint64_t ticks = std::uint64_t{high_word} << 32 | low_word;
  __int128 ns = static_cast<__int128>(ticks) * 1'000'000'000 / scale.ticks_per_second;
  ns += static_cast<__int128>(scale.offset_s) * 1'000'000'000;
  constexpr __int128 most = std::numeric_limits<std::uint64_t>::max();
  return static_cast<std::uint64_t>(std::clamp<__int128>(ns, 0, most));
}

Result<std::optional<Block>> Reader::parse_packet(Fields fields) {
  std::uint32_t words[5];
  for (auto& word : words) {
    auto value = fields.take<std::uint32_t>();
    if (!value) return fail(Code::invalid, "packet block cut off");
    word = *value;
  }
  auto timestamp = time_of(words[0], words[1], words[2]);
  if (!timestamp) return timestamp.error();
  Packet packet;
  packet.interface = words[0];
  packet.timestamp_ns = *timestamp;
  packet.wire_len = words[4];
  auto data = fields.body.take(padded(words[3]));
  if (!data) return fail(Code::invalid, "packet longer than its block");
  packet.data = data->first(words[3]);
  auto done = fields.options([&](std::uint16_t code, ByteView value) {
    if (code == kPacketId) packet.sequence = fields.integer<std::uint64_t>(value);
    if (code != kCustomBinary || value.size() < 4 + sizeof(fl_chunk_packet)) return;
    fl_chunk_packet meta;
    std::memcpy(&meta, value.data() + 4, sizeof meta);
    if (fields.integer<std::uint32_t>(value.first(4)) == FL_PCAPNG_PEN &&
        meta.magic == FL_PCAPNG_MAGIC) {
      packet.meta = meta;
    }
  });
  if (!done) return done.error();
  return std::optional<Block>(packet);
}

Result<std::optional<Block>> Reader::parse_statistics(Fields fields) {
  auto interface = fields.take<std::uint32_t>();
  auto first = fields.take<std::uint32_t>();
  auto second = fields.take<std::uint32_t>();
  if (!interface || !first || !second) return fail(Code::invalid, "statistics block cut off");
  auto timestamp = time_of(*interface, *first, *second);
  if (!timestamp) return timestamp.error();
  Statistics statistics{*interface, *timestamp, {}, {}, {}};
  auto done = fields.options([&](std::uint16_t code, ByteView value) {
    auto number = fields.integer<std::uint64_t>(value);
    if (code == kReceived) statistics.received = number;
    if (code == kDropped) statistics.dropped = number;
    if (code == kDelivered) statistics.delivered = number;
  });
  if (!done) return done.error();
  return std::optional<Block>(statistics);
}

// Others' local-use blocks are skipped like any unknown type; ours must be whole. The body is
// little-endian in either section order.
Result<std::optional<Block>> Reader::parse_report(Fields fields) {
  auto pen = fields.take<std::uint32_t>();
  if (!pen) return fail(Code::invalid, "report block cut off");
  auto head = fields.body.take_struct<fl_chunk_report>();
  if (*pen != FL_PCAPNG_PEN || !head || head->magic != FL_PCAPNG_MAGIC)
    return std::optional<Block>{};
  auto payload = fields.body.take(head->length);
  if (!payload) return fail(Code::invalid, "report longer than its block");
  Report report{head->type, head->encoding, head->sequence, {}, *payload};
  std::copy(std::begin(head->run), std::end(head->run), report.run.bytes.begin());
  return std::optional<Block>(report);
}

}  // namespace fieldline::pcapng
