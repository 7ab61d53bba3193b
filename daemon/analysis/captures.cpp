// SPDX-License-Identifier: Apache-2.0
#include "analysis/captures.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "analysis/wire_key.h"

namespace fieldline::analysis {
namespace {

constexpr std::uint32_t kEthernetPayload = 1460;
constexpr std::uint32_t kSmallest = 256;  // full segments are not smaller
constexpr std::size_t kSizesMax = 1024;
constexpr std::uint32_t kTimestampOption = 12;
constexpr std::uint64_t kOften = 8;

FlowKey key_of(const PacketInfo& packet) {
  return {packet.src, packet.dst, packet.sport, packet.dport, packet.protocol};
}

std::uint64_t words(std::uint32_t high, std::uint32_t low) {
  return std::uint64_t{high} << 32 | low;
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
  Sender* sender = nullptr;
  return note_packet(file, packet, parse_packet(packet.data, packet.wire_len, interface.link_type),
                     sender);
}

CaptureSurvey::Sender* CaptureSurvey::see(std::size_t file, const pcapng::Packet& packet,
                                          const PacketInfo& info) {
  Reading& reading = readings_[file];
  ++reading.interfaces[reading.section + packet.interface].packets;
  Sender* sender = nullptr;
  if (const char* reason = note_packet(file, packet, info, sender)) ++unread_[reason];
  return sender && sender->pair == chosen_ ? sender : nullptr;
}

const char* CaptureSurvey::note_packet(std::size_t file, const pcapng::Packet& packet,
                                       const PacketInfo& info, Sender*& sender) {
  Reading& reading = readings_[file];
  if (!info.network) return info.problem ? info.problem : "not_ip";
  std::uint32_t pair;
  bool from_second;
  if (info.transport) {
    const PackedFlow flow(key_of(info));
    sender = find(flow);
    if (!sender) sender = &new_sender(flow, info);
    pair = sender->pair;
    from_second = sender->from_second;
  } else {
    pair = pair_of(info);
    from_second = info.dst < info.src;
  }
  reading.take(pair, !info.transport);
  Exchange& exchange = pairs_[pair];
  ++exchange.packets;
  exchange.payload[from_second] += info.payload;
  Capture& capture = files_[file];
  capture.first_ns = std::min(capture.first_ns, packet.timestamp_ns);
  capture.last_ns = std::max(capture.last_ns, packet.timestamp_ns);
  if (!sender) return info.problem;
  if (info.protocol == kTcp) {
    options_cut_ |= info.problem != nullptr;
    wrong_ |= assumed_ && options_cut_;
    note_segment(*sender, info);
  } else if (info.body.size() < info.payload) {
    body_ = std::min(body_, info.body.size());
    wrong_ |= assumed_ && body_ < assumed_->body;
  }
  return nullptr;
}

void CaptureSurvey::Reading::take(std::uint32_t pair, bool cut) {
  if (pair != last_pair) {
    Taken& before = packets[last_pair];
    before.all += last.all;
    before.cut += last.cut;
    last_pair = pair;
    last = {};
  }
  ++last.all;
  last.cut += cut;
}

std::uint32_t CaptureSurvey::pair_of(const PacketInfo& packet) {
  const Hosts hosts =
      packet.dst < packet.src ? Hosts{packet.dst, packet.src} : Hosts{packet.src, packet.dst};
  const auto [found, fresh] =
      pair_numbers_.try_emplace(hosts, static_cast<std::uint32_t>(pairs_.size()));
  if (fresh) {
    pairs_.emplace_back();
    pairs_.back().hosts = hosts;
    if (assumed_ && (hosts == Hosts{hosts_.a, hosts_.b} || hosts == Hosts{hosts_.b, hosts_.a}))
      chosen_ = found->second;
  }
  return found->second;
}

const CaptureSurvey::Sender* CaptureSurvey::find(const PackedFlow& flow) const {
  const std::uint32_t number = sender_numbers_.find(flow_hash_(flow), [&](std::uint32_t candidate) {
    return senders_[candidate].packed == flow;
  });
  return number == DigestTable::kNone ? nullptr : &senders_[number];
}

CaptureSurvey::Sender* CaptureSurvey::find(const PackedFlow& flow) {
  return const_cast<Sender*>(std::as_const(*this).find(flow));
}

CaptureSurvey::Sender& CaptureSurvey::new_sender(const PackedFlow& flow, const PacketInfo& packet) {
  sender_numbers_.insert(flow_hash_(flow), static_cast<std::uint32_t>(senders_.size()));
  Sender& sender = senders_.emplace_back(key_of(packet));
  sender.pair = pair_of(packet);
  sender.from_second = packet.dst < packet.src;
  if (assumed_) {
    sender.reverse = sender.from_second != (hosts_.b < hosts_.a);
    sender.size = UINT32_MAX;
    settle_key(sender);
  }
  return sender;
}

void CaptureSurvey::note_segment(Sender& sender, const PacketInfo& packet) {
  if (packet.payload > sender.largest) {
    sender.largest = packet.payload;
    bool told;
    wrong_ |= assumed_ && packet.payload > longest(sender, told);
  }
  sender.timestamps |= packet.tcp.has_timestamp;
  if ((packet.tcp.flags & kSyn) && packet.tcp.mss) sender.mss = packet.tcp.mss;
  if (packet.payload < kSmallest) return;
  if (sender.recent != packet.payload) {
    note_recent(sender);
    sender.recent = packet.payload;
  }
  ++sender.recent_packets;
}

void CaptureSurvey::note_recent(Sender& sender) {
  const std::uint64_t packets = std::exchange(sender.recent_packets, 0);
  if (packets == 0) return;
  auto& sizes = sender.sizes;
  const auto at = std::lower_bound(
      sizes.begin(), sizes.end(), sender.recent,
      [](const auto& size, std::uint32_t payload) { return size.first < payload; });
  if (at != sizes.end() && at->first == sender.recent) {
    at->second += packets;
  } else if (sizes.size() < kSizesMax) {
    sizes.insert(at, {sender.recent, packets});
  }
}

// What the wire can carry of this sender in one segment: by the handshake (`told`), without one
// what an Ethernet frame of 1,500 bytes does.
std::uint32_t CaptureSurvey::longest(const Sender& sender, bool& told) const {
  const auto& [src, dst, sport, dport, protocol] = sender.from_to;
  const Sender* peer = find(PackedFlow({dst, src, dport, sport, protocol}));
  told = peer && peer->mss;
  if (!told) return kEthernetPayload;
  std::uint32_t bound = peer->mss;
  if (sender.mss) bound = std::min<std::uint32_t>(bound, sender.mss);
  if (sender.timestamps && bound > kTimestampOption) bound -= kTimestampOption;
  return bound;
}

// What a full segment of this sender carries on the wire. Nothing is longer than it can: then the
// largest packet shows it. Else offloads were at work, whose packets are whole multiples: the size
// that occurs by itself, or that the handshake allows, and of which most of the longer packets are
// multiples. 0: none is.
std::uint32_t CaptureSurvey::wire_size(const Sender& sender) const {
  bool handshake;
  const std::uint32_t bound = longest(sender, handshake);
  if (sender.largest <= bound) return sender.largest;
  std::uint32_t best = 0;
  double share = 0;
  const auto consider = [&](std::uint32_t size) {
    std::uint64_t longer = 0, multiples = 0;
    for (const auto& [payload, packets] : sender.sizes) {
      if (payload <= size) continue;
      longer += packets;
      multiples += payload % size == 0 ? packets : 0;
    }
    const double of = longer ? static_cast<double>(multiples) / static_cast<double>(longer) : 0;
    if (of < 0.5 || of < share) return;
    share = of;
    best = size;
  };
  for (const auto& [payload, packets] : sender.sizes) {
    if (payload <= bound && packets >= kOften) consider(payload);
  }
  if (handshake && bound >= kSmallest) consider(bound);
  return best;
}

bool CaptureSurvey::assume(const CaptureSurvey& beginning) {
  if (beginning.offloaded_ || beginning.options_cut_ || beginning.chosen_ == UINT32_MAX)
    return false;
  hosts_ = beginning.hosts_;
  body_ = beginning.body_;
  assumed_ = {hosts_, body_, beginning.asked_};
  return true;
}

Result<bool> CaptureSurvey::holds() {
  const Assumed assumed = *assumed_;
  assumed_.reset();
  if (auto settled = settle(assumed.asked); !settled) return settled.error();
  return !wrong_ && !offloaded_ && !options_cut_ && body_ == assumed.body &&
         hosts_.a == assumed.hosts.a && hosts_.b == assumed.hosts.b;
}

Result<void> CaptureSurvey::settle(const std::optional<HostPair>& hosts) {
  asked_ = hosts;
  const Exchange* chosen = nullptr;
  std::uint64_t packets = 0;
  for (const Exchange& pair : pairs_) {
    packets += pair.packets;
    const bool asked = hosts && (Hosts{hosts->a, hosts->b} == pair.hosts ||
                                 Hosts{hosts->b, hosts->a} == pair.hosts);
    const bool busiest =
        !hosts && (!chosen || pair.packets > chosen->packets ||
                   (pair.packets == chosen->packets && pair.hosts < chosen->hosts));
    if (asked || busiest) chosen = &pair;
  }
  if (!chosen) {
    return fail(Code::not_found, hosts ? "no packet between " + hosts->a.to_string() + " and " +
                                             hosts->b.to_string() + " is in these files"
                                       : "no IP packet is in these files" + reasons());
  }
  chosen_ = static_cast<std::uint32_t>(chosen - pairs_.data());
  other_packets_ = packets - chosen->packets;
  const bool swap = chosen->payload[1] > chosen->payload[0];
  const auto& [first, second] = chosen->hosts;
  hosts_ = swap ? HostPair{second, first} : HostPair{first, second};
  settle_files();
  for (Sender& sender : senders_) {
    sender.reverse = sender.from_second != swap;
    note_recent(sender);
    if (sender.from_to.protocol == kTcp) {
      sender.size = wire_size(sender);
      offloaded_ |= sender.largest > sender.size;
    }
    sender.flow = FlowTable::kNone;
    settle_key(sender);
  }
  return {};
}

void CaptureSurvey::settle_key(Sender& sender) const {
  const FlowKey& flow = sender.from_to;
  std::uint64_t address[4];
  std::memcpy(&address[0], flow.a.bytes.data(), 16);
  std::memcpy(&address[2], flow.b.bytes.data(), 16);
  sender.key = Sip();
  for (const std::uint64_t word : address) sender.key.take(word);
  sender.key.take(words(std::uint32_t{flow.port_a} << 16 | flow.port_b, flow.protocol));
}

void CaptureSurvey::settle_files() {
  for (std::size_t file = 0; file < files_.size(); ++file) {
    Capture& capture = files_[file];
    const Reading& reading = readings_[file];
    const auto taken = reading.packets.find(chosen_);
    const Taken before = taken == reading.packets.end() ? Taken() : taken->second;
    const Taken last = reading.last_pair == chosen_ ? reading.last : Taken();
    capture.taken = before.all + last.all;
    capture.cut = before.cut + last.cut;
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
}

std::string CaptureSurvey::reasons() const {
  std::string text;
  for (const auto& [reason, packets] : unread_)
    text += (text.empty() ? " (" : ", ") + reason + " " + std::to_string(packets);
  return text.empty() ? "" : text + ")";
}

std::vector<std::string> CaptureSurvey::other_pairs() const {
  std::vector<std::pair<std::uint64_t, std::string>> others;
  for (const Exchange& pair : pairs_) {
    if (&pair == &pairs_[chosen_]) continue;
    others.emplace_back(pair.packets,
                        pair.hosts.first.to_string() + "," + pair.hosts.second.to_string());
  }
  std::sort(others.rbegin(), others.rend());
  std::vector<std::string> texts;
  for (const auto& [packets, text] : others)
    texts.push_back(text + " (" + std::to_string(packets) + ")");
  return texts;
}

CaptureSurvey::Sender* CaptureSurvey::sender(const PacketInfo& packet) {
  Sender* sender = find(PackedFlow(key_of(packet)));
  return sender && sender->pair == chosen_ ? sender : nullptr;
}

std::optional<std::uint32_t> CaptureSurvey::segment_size(const PacketInfo& packet) const {
  const Sender* sender = find(PackedFlow(key_of(packet)));
  return segment_size(packet, sender ? sender->size : 0);
}

std::uint64_t CaptureSurvey::key(const Sender& sender, const PacketInfo& packet) const {
  if (packet.protocol == kTcp) {
    return key(sender, packet,
               {packet.tcp.sequence, packet.payload, packet.tcp.flags, packet.ip_id});
  }
  Sip sip = sender.key;
  sip.take(words(packet.payload, std::uint32_t{packet.ip_id} << 16 | packet.fragment));
  std::array<std::uint64_t, 4> body{};
  const std::size_t size = std::min({body_, packet.body.size(), sizeof body});
  if (size > 0) std::memcpy(body.data(), packet.body.data(), size);
  sip.take(size);
  for (std::size_t at = 0; at * sizeof body[0] < size; ++at) sip.take(body[at]);
  return sip.digest();
}

// Where no capture has offloads, and of what carries no data, all headers count.
std::uint64_t CaptureSurvey::key(const Sender& sender, const PacketInfo& packet,
                                 const WireSegment& segment) const {
  constexpr std::uint32_t kKept = kSyn | kFin | kRst | kAck;
  const TcpInfo& tcp = packet.tcp;
  Sip sip = sender.key;
  if (offloaded_ && segment.payload > 0) {
    if (!options_cut_) sip.take(tcp.tsecr);
    return wire_key(sip, segment.sequence, segment.payload, segment.flags, tcp.ack,
                    options_cut_ ? 0 : tcp.tsval);
  }
  sip.take(words(segment.sequence, tcp.ack));
  sip.take(words(segment.payload,
                 std::uint32_t{segment.ip_id} << 16 | (segment.flags & kKept) << 8 | 1u));
  if (!options_cut_) sip.take(words(tcp.tsval, tcp.tsecr));
  sip.take(tcp.window);
  for (std::size_t at = 0; at < tcp.sacks && !options_cut_; ++at)
    sip.take(words(tcp.sack[at].left, tcp.sack[at].right));
  return sip.digest();
}

}  // namespace fieldline::analysis
