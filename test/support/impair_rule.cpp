// SPDX-License-Identifier: Apache-2.0
#include "test/support/impair_rule.h"

#include <linux/if_ether.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/clock.h"
#include "proto/trigger.h"

namespace fieldline::impair {
namespace {

std::uint16_t u16_at(ByteView bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

// What lies behind the transport header, by the lengths in the headers: Ethernet padding is not
// payload.
struct Segment {
  std::size_t payload_len = 0;
  ByteView payload;  // what of it stands in the frame
  bool udp = false;
};

struct IpPayload {
  std::uint8_t protocol = 0;
  std::size_t length = 0;  // by the IP header
  ByteView bytes;
};

std::optional<IpPayload> ip_payload(ByteView frame) {
  if (frame.size() < ETH_HLEN) return {};
  const std::uint16_t type = u16_at(frame, 12);
  const ByteView ip = frame.subspan(ETH_HLEN);
  if (type == ETH_P_IP && ip.size() >= 20) {
    const std::size_t header = static_cast<std::size_t>(ip[0] & 0x0f) * 4;
    const std::size_t total = u16_at(ip, 2);
    if (header < 20 || total < header || ip.size() < header) return {};
    const bool later_fragment = (u16_at(ip, 6) & 0x1fff) != 0;
    const auto protocol = later_fragment ? std::uint8_t{IPPROTO_RAW} : ip[9];
    return IpPayload{protocol, total - header, ip.subspan(header)};
  }
  // Extension headers are not followed: such packets match as `any` alone.
  if (type == ETH_P_IPV6 && ip.size() >= 40) {
    return IpPayload{ip[6], u16_at(ip, 4), ip.subspan(40)};
  }
  return {};
}

std::optional<Segment> segment_of(const IpPayload& ip) {
  std::size_t header = 0;
  if (ip.protocol == IPPROTO_UDP && ip.bytes.size() >= 8) header = 8;
  if (ip.protocol == IPPROTO_TCP && ip.bytes.size() >= 20) {
    header = static_cast<std::size_t>(ip.bytes[12] >> 4) * 4;
  }
  if (header < 8 || ip.length < header || ip.bytes.size() < header) return {};
  const std::size_t length = ip.length - header;
  const ByteView rest = ip.bytes.subspan(header);
  return Segment{length, rest.first(std::min(length, rest.size())), ip.protocol == IPPROTO_UDP};
}

bool is_trigger(const Segment& segment) {
  static constexpr std::string_view magic{FL_TRIGGER_MAGIC, FL_TRIGGER_MAGIC_LEN};
  return segment.udp && text(segment.payload).starts_with(magic);
}

Result<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value == 0) {
    return fail(Code::invalid, "'" + std::string(text) + "' is not a packet number from 1 on");
  }
  return value;
}

struct PcapFileHeader {
  std::uint32_t magic = 0xa1b23c4d;  // nanoseconds
  std::uint16_t major = 2, minor = 4;
  std::uint32_t zone = 0, accuracy = 0, snaplen = PcapLog::kLogged, link_type = 1;
};
static_assert(sizeof(PcapFileHeader) == 24);

struct PcapRecord {
  std::uint32_t seconds, nanoseconds, captured, length;
};
static_assert(sizeof(PcapRecord) == 16);

}  // namespace

Result<DropRule> DropRule::parse(std::string_view text) {
  DropRule rule;
  if (const auto colon = text.find(':'); colon != text.npos) {
    const std::string_view kind = text.substr(0, colon);
    if (kind == "segments") {
      rule.matching_ = Matching::segments;
    } else if (kind == "any") {
      rule.matching_ = Matching::any;
    } else if (kind != "data") {
      return fail(Code::invalid, "'" + std::string(kind) + "' is none of data, segments, any");
    }
    text.remove_prefix(colon + 1);
  }
  if (!text.starts_with('@')) {
    auto every = number(text);
    if (!every) return every.error();
    rule.every_ = *every;
    return rule;
  }
  text.remove_prefix(1);
  while (true) {
    const auto comma = std::min(text.find(','), text.size());
    auto one = number(text.substr(0, comma));
    if (!one) return one.error();
    rule.named_.insert(*one);
    if (comma == text.size()) return rule;
    text.remove_prefix(comma + 1);
  }
}

bool DropRule::matches(ByteView frame) const {
  const auto ip = ip_payload(frame);
  if (!ip) return false;
  if (matching_ == Matching::any) return true;
  const auto segment = segment_of(*ip);
  if (!segment || is_trigger(*segment)) return false;
  return matching_ == Matching::segments || segment->payload_len > 0;
}

bool DropRule::takes(std::uint64_t ordinal) const {
  return every_ ? ordinal % every_ == 0 : named_.contains(ordinal);
}

Result<std::unique_ptr<PcapLog>> PcapLog::create(const std::string& path) {
  auto log = std::make_unique<PcapLog>();
  log->file_.reset(std::fopen(path.c_str(), "wbe"));
  if (!log->file_) return fail_errno("creating " + path);
  const PcapFileHeader header;
  if (std::fwrite(&header, sizeof header, 1, log->file_.get()) != 1 ||
      std::fflush(log->file_.get()) != 0) {
    return fail_errno("writing " + path);
  }
  return log;
}

bool PcapLog::write(ByteView frame, std::size_t wire_len) {
  const std::uint64_t now = SystemClock().utc_ns();
  const ByteView logged = frame.first(std::min(frame.size(), kLogged));
  const PcapRecord record{static_cast<std::uint32_t>(now / kNanosPerSecond),
                          static_cast<std::uint32_t>(now % kNanosPerSecond),
                          static_cast<std::uint32_t>(logged.size()),
                          static_cast<std::uint32_t>(wire_len)};
  return std::fwrite(&record, sizeof record, 1, file_.get()) == 1 &&
         std::fwrite(logged.data(), logged.size(), 1, file_.get()) == 1 &&
         std::fflush(file_.get()) == 0;
}

}  // namespace fieldline::impair
