// SPDX-License-Identifier: Apache-2.0
#include "analysis/captures.h"

#include <algorithm>
#include <cstring>

#include "proto/digest.h"

namespace fieldline::analysis {
namespace {

constexpr std::uint8_t kPush = 8;
// The largest payload of a frame of 9,000 bytes; a longer packet was never on an Ethernet as it is.
constexpr std::uint32_t kJumboPayload = 8960;
constexpr std::uint32_t kTimestampOption = 12;
constexpr std::uint64_t kOften = 8;

template <class T>
void put(fl_digest_input& input, const T& value) {
  std::memcpy(input.transport + input.transport_len, &value, sizeof(value));
  input.transport_len = static_cast<std::uint8_t>(input.transport_len + sizeof(value));
}

fl_digest_input input_of(const PacketInfo& packet) {
  fl_digest_input input{};
  std::copy(packet.src.bytes.begin(), packet.src.bytes.end(), input.src);
  std::copy(packet.dst.bytes.begin(), packet.dst.bytes.end(), input.dst);
  input.protocol = packet.protocol;
  put(input, packet.sport);
  put(input, packet.dport);
  return input;
}

}  // namespace

std::size_t CaptureSurvey::add(std::string name) {
  files_.emplace_back();
  files_.back().name = std::move(name);
  return files_.size() - 1;
}

const char* CaptureSurvey::see(std::size_t file, const pcapng::Block& block) {
  Capture& capture = files_[file];
  if (const auto* interface = std::get_if<pcapng::Interface>(&block)) {
    capture.interfaces.push_back(*interface);
    capture.packets.push_back(0);
  } else if (const auto* counts = std::get_if<pcapng::Statistics>(&block)) {
    if (counts->dropped) capture.dropped = capture.dropped.value_or(0) + *counts->dropped;
  }
  const auto* packet = std::get_if<pcapng::Packet>(&block);
  if (!packet) return nullptr;
  if (packet->interface >= capture.interfaces.size()) return "packet_interface_unknown";
  ++capture.packets[packet->interface];
  const PacketInfo info =
      parse_packet(packet->data, packet->wire_len, capture.interfaces[packet->interface].link_type);
  if (!info.transport) return info.problem ? info.problem : "not_ip";
  const bool swap = info.dst < info.src;
  Exchange& exchange = pairs_[swap ? Hosts{info.dst, info.src} : Hosts{info.src, info.dst}];
  ++exchange.packets;
  exchange.payload[swap] += info.payload;
  capture.first_ns = std::min(capture.first_ns, packet->timestamp_ns);
  capture.last_ns = std::max(capture.last_ns, packet->timestamp_ns);
  if (info.protocol == kTcp) {
    note_segment(file, info);
  } else if (info.body.size() < info.payload) {
    body_ = std::min(body_, info.body.size());
  }
  return nullptr;
}

void CaptureSurvey::note_segment(std::size_t file, const PacketInfo& packet) {
  Segments& segments = segments_[{packet.src, packet.dst, packet.sport, packet.dport}];
  Largest& largest = segments.largest[file];
  if (packet.payload > largest.payload) largest = {packet.payload, 0};
  largest.times += packet.payload == largest.payload;
  segments.timestamps |= packet.tcp.has_timestamp;
  if ((packet.tcp.flags & kSyn) && packet.tcp.mss) segments.mss = packet.tcp.mss;
}

// What a full segment of this sender carries on the wire: the handshake bounds it, and the largest
// packet within the bound shows it. Without a handshake it is the size at which most captures agree
// not to go further: the least that occurs again and again as somebody's largest.
std::uint32_t CaptureSurvey::wire_size(const Sender& sender, const Segments& segments) const {
  const auto& [src, dst, sport, dport] = sender;
  const auto peer = segments_.find({dst, src, dport, sport});
  if (peer != segments_.end() && peer->second.mss) {
    std::uint32_t bound = peer->second.mss;
    if (segments.mss) bound = std::min<std::uint32_t>(bound, segments.mss);
    if (segments.timestamps && bound > kTimestampOption) bound -= kTimestampOption;
    std::uint32_t within = 0;
    for (const auto& [file, largest] : segments.largest) {
      if (largest.payload <= bound) within = std::max(within, largest.payload);
    }
    return within ? within : bound;
  }
  std::uint32_t often = 0, most = 0;
  for (const auto& [file, largest] : segments.largest) {
    if (largest.payload > kJumboPayload) continue;
    most = std::max(most, largest.payload);
    if (largest.times >= kOften) often = often ? std::min(often, largest.payload) : largest.payload;
  }
  return often ? often : most;
}

Result<void> CaptureSurvey::settle(const std::optional<HostPair>& hosts) {
  auto chosen = pairs_.end();
  std::uint64_t packets = 0;
  for (auto at = pairs_.begin(); at != pairs_.end(); ++at) {
    packets += at->second.packets;
    const bool asked =
        hosts && (Hosts{hosts->a, hosts->b} == at->first || Hosts{hosts->b, hosts->a} == at->first);
    const bool busiest =
        !hosts && (chosen == pairs_.end() || at->second.packets > chosen->second.packets);
    if (asked || busiest) chosen = at;
  }
  if (chosen == pairs_.end()) {
    return fail(Code::not_found, hosts ? "no packet between " + hosts->a.to_string() + " and " +
                                             hosts->b.to_string() + " is in these files"
                                       : "no IP packet is in these files");
  }
  const auto& [pair, exchange] = *chosen;
  other_packets_ = packets - exchange.packets;
  hosts_ = exchange.payload[1] > exchange.payload[0] ? HostPair{pair.second, pair.first}
                                                     : HostPair{pair.first, pair.second};
  for (const auto& [sender, segments] : segments_) {
    const std::uint32_t size = sizes_[sender] = wire_size(sender, segments);
    for (const auto& [file, largest] : segments.largest) offloaded_ |= largest.payload > size;
  }
  return {};
}

std::optional<bool> CaptureSurvey::reverse(const PacketInfo& packet) const {
  if (packet.src == hosts_.a && packet.dst == hosts_.b) return false;
  if (packet.src == hosts_.b && packet.dst == hosts_.a) return true;
  return std::nullopt;
}

std::optional<std::uint32_t> CaptureSurvey::segment_size(const PacketInfo& packet) const {
  if (packet.protocol != kTcp) return std::nullopt;
  const auto known = sizes_.find({packet.src, packet.dst, packet.sport, packet.dport});
  const std::uint32_t size = known == sizes_.end() ? 0 : known->second;
  if (packet.payload <= size) return std::nullopt;
  return size;
}

std::uint64_t CaptureSurvey::key(const PacketInfo& packet) const {
  if (packet.protocol == kTcp) {
    return key(packet, {packet.tcp.sequence, packet.payload, packet.tcp.flags, packet.ip_id});
  }
  fl_digest_input input = input_of(packet);
  input.ip_length = packet.payload;
  input.ip_id = packet.ip_id;
  input.fragment = packet.fragment;
  const std::size_t body = std::min(body_, packet.body.size());
  std::copy_n(packet.body.begin(), body, input.payload);
  input.payload_len = static_cast<std::uint8_t>(body);
  return fl_digest(&input);
}

// Offloads keep the acknowledgement and the options, and neither the IP id, PSH nor the window of
// each segment: those count where no capture has offloads, and for what carries no data.
std::uint64_t CaptureSurvey::key(const PacketInfo& packet, const WireSegment& segment) const {
  fl_digest_input input = input_of(packet);
  input.ip_length = segment.payload;
  put(input, segment.sequence);
  put(input, packet.tcp.ack);
  put(input, static_cast<std::uint8_t>(segment.flags & (kSyn | kFin | kRst | kAck)));
  put(input, packet.tcp.tsval);
  put(input, packet.tcp.tsecr);
  if (!offloaded_ || segment.payload == 0) {
    input.ip_id = segment.ip_id;
    put(input, packet.tcp.window);
    for (std::size_t at = 0; at < packet.tcp.sacks; ++at) put(input, packet.tcp.sack[at]);
  }
  return fl_digest(&input);
}

std::vector<WireSegment> split(const PacketInfo& packet, std::uint32_t segment_size) {
  std::vector<WireSegment> segments;
  for (std::uint32_t at = 0; at < packet.payload; at += segment_size) {
    WireSegment segment;
    segment.sequence = packet.tcp.sequence + at;
    segment.payload = std::min(segment_size, packet.payload - at);
    const bool last = at + segment.payload == packet.payload;
    segment.flags =
        last ? packet.tcp.flags : static_cast<std::uint8_t>(packet.tcp.flags & ~(kFin | kPush));
    segment.ip_id = static_cast<std::uint16_t>(packet.ip_id + segments.size());
    segments.push_back(segment);
  }
  return segments;
}

}  // namespace fieldline::analysis
