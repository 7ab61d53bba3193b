// SPDX-License-Identifier: Apache-2.0
#include "analysis/captures.h"

#include <algorithm>
#include <cstring>

#include "proto/digest.h"

namespace fieldline::analysis {
namespace {

constexpr std::uint8_t kPush = 8;
constexpr std::uint32_t kEthernetPayload = 1460;
constexpr std::uint32_t kPayloadMax = 1 << 20;  // longer: not of this world
constexpr std::uint32_t kSmallest = 256;        // full segments are not smaller
constexpr std::size_t kSizesMax = 1024;
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
  readings_.emplace_back();
  return files_.size() - 1;
}

const char* CaptureSurvey::see(std::size_t file, const pcapng::Block& block) {
  Reading& reading = readings_[file];
  const auto known = [&](std::uint32_t number) {
    return reading.section + number < reading.interfaces.size();
  };
  if (std::holds_alternative<pcapng::Section>(block)) {
    reading.section = reading.interfaces.size();
  } else if (const auto* interface = std::get_if<pcapng::Interface>(&block)) {
    reading.interfaces.push_back({interface->link_type, 0, std::nullopt});
  } else if (const auto* counts = std::get_if<pcapng::Statistics>(&block)) {
    if (counts->dropped && known(counts->interface))
      reading.interfaces[reading.section + counts->interface].dropped = *counts->dropped;
  } else if (const auto* packet = std::get_if<pcapng::Packet>(&block)) {
    if (!known(packet->interface)) return "packet_interface_unknown";
    const char* reason = see_packet(file, *packet);
    if (reason) ++unread_[reason];
    return reason;
  }
  return nullptr;
}

const char* CaptureSurvey::see_packet(std::size_t file, const pcapng::Packet& packet) {
  Reading& reading = readings_[file];
  Interface& interface = reading.interfaces[reading.section + packet.interface];
  ++interface.packets;
  const PacketInfo info = parse_packet(packet.data, packet.wire_len, interface.link_type);
  if (!info.network) return info.problem ? info.problem : "not_ip";
  const bool swap = info.dst < info.src;
  const Hosts hosts = swap ? Hosts{info.dst, info.src} : Hosts{info.src, info.dst};
  auto& [all, cut] = reading.packets[hosts];
  ++all;
  cut += !info.transport;
  Exchange& exchange = pairs_[hosts];
  ++exchange.packets;
  exchange.payload[swap] += info.payload;
  Capture& capture = files_[file];
  capture.first_ns = std::min(capture.first_ns, packet.timestamp_ns);
  capture.last_ns = std::max(capture.last_ns, packet.timestamp_ns);
  if (!info.transport) return info.problem;
  if (info.protocol == kTcp) {
    options_cut_ |= info.problem != nullptr;
    note_segment(info);
  } else if (info.body.size() < info.payload) {
    body_ = std::min(body_, info.body.size());
  }
  return nullptr;
}

void CaptureSurvey::note_segment(const PacketInfo& packet) {
  Segments& segments = segments_[{packet.src, packet.dst, packet.sport, packet.dport}];
  segments.largest = std::max(segments.largest, packet.payload);
  if (packet.payload >= kSmallest) {
    const auto known = segments.sizes.find(packet.payload);
    if (known != segments.sizes.end()) {
      ++known->second;
    } else if (segments.sizes.size() < kSizesMax) {
      segments.sizes.emplace(packet.payload, 1);
    }
  }
  segments.timestamps |= packet.tcp.has_timestamp;
  if ((packet.tcp.flags & kSyn) && packet.tcp.mss) segments.mss = packet.tcp.mss;
}

// What a full segment of this sender carries on the wire. Nothing is longer than the handshake
// allows (without one: than an Ethernet frame of 1,500 bytes does): then the largest packet shows
// it. Else offloads were at work, whose packets are whole multiples: the size that occurs by
// itself, or that the handshake allows, and of which most of the longer packets are multiples. 0:
// none is.
std::uint32_t CaptureSurvey::wire_size(const Sender& sender, const Segments& segments) const {
  const auto& [src, dst, sport, dport] = sender;
  const auto peer = segments_.find({dst, src, dport, sport});
  std::uint32_t bound = kEthernetPayload;
  const bool handshake = peer != segments_.end() && peer->second.mss;
  if (handshake) {
    bound = peer->second.mss;
    if (segments.mss) bound = std::min<std::uint32_t>(bound, segments.mss);
    if (segments.timestamps && bound > kTimestampOption) bound -= kTimestampOption;
  }
  if (segments.largest <= bound) return segments.largest;
  std::uint32_t best = 0;
  double share = 0;
  const auto consider = [&](std::uint32_t size) {
    std::uint64_t longer = 0, multiples = 0;
    for (const auto& [payload, packets] : segments.sizes) {
      if (payload <= size) continue;
      longer += packets;
      multiples += payload % size == 0 ? packets : 0;
    }
    const double of = longer ? static_cast<double>(multiples) / static_cast<double>(longer) : 0;
    if (of < 0.5 || of < share) return;
    share = of;
    best = size;
  };
  for (const auto& [payload, packets] : segments.sizes) {
    if (payload <= bound && packets >= kOften) consider(payload);
  }
  if (handshake && bound >= kSmallest) consider(bound);
  return best;
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
                                       : "no IP packet is in these files" + reasons());
  }
  const auto& [pair, exchange] = *chosen;
  other_packets_ = packets - exchange.packets;
  hosts_ = exchange.payload[1] > exchange.payload[0] ? HostPair{pair.second, pair.first}
                                                     : HostPair{pair.first, pair.second};
  for (std::size_t file = 0; file < files_.size(); ++file) {
    Capture& capture = files_[file];
    std::tie(capture.taken, capture.cut) = readings_[file].packets[pair];
    capture.dropped = 0;
    for (const Interface& interface : readings_[file].interfaces) {
      if (interface.packets == 0) continue;
      if (!interface.dropped) {
        capture.dropped.reset();
        break;
      }
      *capture.dropped += *interface.dropped;
    }
  }
  for (const auto& [sender, segments] : segments_) {
    const std::uint32_t size = sizes_[sender] = wire_size(sender, segments);
    offloaded_ |= segments.largest > size;
  }
  return {};
}

std::string CaptureSurvey::reasons() const {
  std::string text;
  for (const auto& [reason, packets] : unread_)
    text += (text.empty() ? " (" : ", ") + reason + " " + std::to_string(packets);
  return text.empty() ? "" : text + ")";
}

std::vector<std::string> CaptureSurvey::other_pairs() const {
  std::vector<std::pair<std::uint64_t, std::string>> others;
  for (const auto& [pair, exchange] : pairs_) {
    if (pair == Hosts{hosts_.a, hosts_.b} || pair == Hosts{hosts_.b, hosts_.a}) continue;
    others.emplace_back(exchange.packets, pair.first.to_string() + "," + pair.second.to_string());
  }
  std::sort(others.rbegin(), others.rend());
  std::vector<std::string> texts;
  for (const auto& [packets, text] : others)
    texts.push_back(text + " (" + std::to_string(packets) + ")");
  return texts;
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
  return packet.payload > kPayloadMax ? 0 : size;
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
  if (!options_cut_) {
    put(input, packet.tcp.tsval);
    put(input, packet.tcp.tsecr);
  }
  if (!offloaded_ || segment.payload == 0) {
    input.ip_id = segment.ip_id;
    put(input, packet.tcp.window);
    for (std::size_t at = 0; at < packet.tcp.sacks && !options_cut_; ++at)
      put(input, packet.tcp.sack[at]);
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
