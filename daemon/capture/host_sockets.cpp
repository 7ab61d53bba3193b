// SPDX-License-Identifier: Apache-2.0
#include "capture/host_sockets.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>

#include "base/bytes.h"

namespace fieldline::capture {

namespace {

unsigned layer(const magnet_record_ext& record) {
  return record.head.event >> 8;
}

// Its extension is a packet's: not the socket's word, but what was on its way.
bool is_packet(const magnet_record_ext& record) {
  return layer(record) >= MAGNET_LAYER_UDP && layer(record) <= MAGNET_LAYER_DEV;
}

bool matches(const HostFlow& flow, const fl_flow_key& key) {
  const auto* k = reinterpret_cast<const std::uint8_t*>(&key);
  const auto* want = reinterpret_cast<const std::uint8_t*>(&flow.key);
  const auto* mask = reinterpret_cast<const std::uint8_t*>(&flow.mask);
  for (std::size_t i = 0; i < sizeof key; ++i) {
    if (((k[i] ^ want[i]) & mask[i]) != 0) return false;
  }
  return true;
}

fl_flow_key key_of(const DiagSocket& socket) {
  fl_flow_key key{};
  std::copy(socket.local.bytes.begin(), socket.local.bytes.end(), key.src);
  std::copy(socket.remote.bytes.begin(), socket.remote.bytes.end(), key.dst);
  key.sport = big_endian(socket.local_port);
  key.dport = big_endian(socket.remote_port);
  key.protocol = socket.protocol;
  return key;
}

bool is_connected(const DiagSocket& socket) {
  return socket.remote_port != 0;
}

// A sequence of this host's own in the record: what it sends, or what its peer acknowledges.
std::optional<std::uint32_t> own_sequence(const magnet_record_ext& record) {
  switch (record.head.event) {
    case MAGNET_SOCK_SEND:
      return record.ext.sock.seq;
    case MAGNET_TCP_SEND:
    case MAGNET_TCP_RETRANS:
      return record.ext.tcp.seq;
    case MAGNET_TCP_RECV:
      return record.ext.tcp.ack;
    case MAGNET_IP_SEND:
    case MAGNET_IP6_SEND:
    case MAGNET_DEV_SEND:
      return record.ext.packet.seq;
    case MAGNET_IP_RECV:
    case MAGNET_IP6_RECV:
    case MAGNET_DEV_RECV:
      return record.ext.packet.ack;
    default:
      return {};
  }
}

// Further from a socket's own sequence no packet of it can be.
constexpr std::uint32_t kNear = 1u << 28;

std::uint32_t distance(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::uint32_t>(
      std::abs(static_cast<std::int64_t>(static_cast<std::int32_t>(a - b))));
}

}  // namespace

void HostSockets::set_flows(std::vector<HostFlow> flows) {
  flows_ = std::move(flows);
  for (auto& [cookie, socket] : sockets_) socket.runs = runs_of(socket.socket);
}

Runs HostSockets::runs_of(const DiagSocket& socket) const {
  std::set<RunId> runs;
  if (!is_connected(socket)) return {};
  const fl_flow_key key = key_of(socket);
  for (const HostFlow& flow : flows_) {
    if (matches(flow, key)) runs.insert(flow.runs.begin(), flow.runs.end());
  }
  return {runs.begin(), runs.end()};
}

void HostSockets::learn(const DiagSocket& socket) {
  if (socket.cookie == 0) return;
  auto at = sockets_.find(socket.cookie);
  const bool is_same = at != sockets_.end() && at->second.socket.local_port == socket.local_port &&
                       at->second.socket.remote_port == socket.remote_port &&
                       at->second.socket.remote == socket.remote;
  if (is_same) {
    at->second.socket = socket;
    return;
  }
  if (at != sockets_.end()) forget(socket.cookie);  // UDP: connected to another peer
  if (sockets_.size() >= kMost) make_room();
  sockets_[socket.cookie] = {socket, runs_of(socket), {}, false};
  ports_.emplace(Ports{socket.protocol, socket.local_port, socket.remote_port}, socket.cookie);
}

void HostSockets::close(std::uint64_t cookie) {
  auto at = sockets_.find(cookie);
  if (at == sockets_.end() || at->second.closed) return;
  at->second.closed = true;
  closed_.push_back(cookie);
  if (closed_.size() < 2 * kClosed) return;
  for (std::size_t i = 0; i < kClosed; ++i) forget(closed_[i]);
  closed_.erase(closed_.begin(), closed_.begin() + kClosed);
}

void HostSockets::forget(std::uint64_t cookie) {
  auto at = sockets_.find(cookie);
  if (at == sockets_.end()) return;
  const DiagSocket& socket = at->second.socket;
  auto [from, to] = ports_.equal_range({socket.protocol, socket.local_port, socket.remote_port});
  auto entry = std::find_if(from, to, [&](const auto& one) { return one.second == cookie; });
  if (entry != to) ports_.erase(entry);
  sockets_.erase(at);
}

// Sockets of no run are met again, and asked for again, if they still matter.
void HostSockets::make_room() {
  std::vector<std::uint64_t> idle;
  for (const auto& [cookie, socket] : sockets_) {
    if (socket.runs.empty()) idle.push_back(cookie);
  }
  for (std::uint64_t cookie : idle) forget(cookie);
}

HostSockets::Joined HostSockets::join(const magnet_record_ext& record, bool has_extension,
                                      bool asked) {
  const std::uint64_t cookie = record.head.sockid;
  if (cookie != 0) {
    auto at = sockets_.find(cookie);
    if (at == sockets_.end() && !asked) return {Verdict::ask, nullptr};
    if (at != sockets_.end() && is_connected(at->second.socket)) {
      HostSocket& socket = at->second;
      if (auto sent = has_extension ? own_sequence(record) : std::nullopt) socket.sent = sent;
      if (socket.runs.empty()) return {Verdict::others, nullptr};
      return {Verdict::theirs, &socket.runs};
    }
    // An unconnected socket talks to anybody: only its packets say to whom.
    if (at != sockets_.end() && !is_packet(record)) return {Verdict::others, nullptr};
    // sock_diag does not know it: closed since, or of another namespace, whose ports may be ours.
    if (at == sockets_.end() && !by_flow_) return {};
  }
  if (!has_extension) return {};
  const magnet_ext& ext = record.ext;
  switch (layer(record)) {
    case MAGNET_LAYER_SOCK:
      return by_ports({ext.sock.protocol, ext.sock.local_port, ext.sock.peer_port}, record);
    case MAGNET_LAYER_TCP:
      return by_ports({IPPROTO_TCP, ext.tcp.local_port, ext.tcp.peer_port}, record);
    case MAGNET_LAYER_UDP:
    case MAGNET_LAYER_IP:
    case MAGNET_LAYER_DEV:
      return by_ports({ext.packet.protocol, ext.packet.local_port, ext.packet.peer_port}, record);
    default:
      return {};
  }
}

HostSockets::Joined HostSockets::by_ports(const Ports& ports, const magnet_record_ext& record) {
  if (std::get<1>(ports) == 0 && std::get<2>(ports) == 0) return {};
  auto [from, to] = ports_.equal_range(ports);
  const HostSocket* nearest = nullptr;
  bool differ = false, tied = true;
  std::uint32_t least = UINT32_MAX;
  const auto sequence = own_sequence(record);
  for (auto at = from; at != to; ++at) {
    const HostSocket& socket = sockets_.at(at->second);
    if (nearest != nullptr && socket.runs != nearest->runs) differ = true;
    const bool comparable = sequence && socket.sent;
    const std::uint32_t far = comparable ? distance(*sequence, *socket.sent) : UINT32_MAX;
    if (nearest != nullptr && far == least) tied = true;
    if (nearest == nullptr || far < least) {
      tied = nearest == nullptr && !comparable;
      least = far;
      nearest = &socket;
    }
  }
  if (nearest == nullptr) return by_flow_ ? by_flow_ports(ports) : Joined{};
  if (differ && tied) return {};
  // A source that gives every packet of the machine gives other namespaces' as well.
  if (!by_flow_ && least > kNear) return {};
  if (nearest->runs.empty()) return {Verdict::others, nullptr};
  return {Verdict::theirs, &nearest->runs};
}

// Whose flows have these ports, if that is the same runs for each flow that has them.
HostSockets::Joined HostSockets::by_flow_ports(const Ports& ports) const {
  const auto [protocol, local, peer] = ports;
  const Runs* runs = nullptr;
  for (const HostFlow& flow : flows_) {
    auto fits = [](std::uint16_t port, __be16 want, __be16 mask) {
      return ((big_endian(port) ^ want) & mask) == 0;
    };
    if (flow.key.protocol != protocol || !fits(local, flow.key.sport, flow.mask.sport) ||
        !fits(peer, flow.key.dport, flow.mask.dport)) {
      continue;
    }
    if (runs != nullptr && *runs != flow.runs) return {};
    runs = &flow.runs;
  }
  if (runs == nullptr || runs->empty()) return {};
  return {Verdict::theirs, runs};
}

std::vector<const HostSocket*> HostSockets::sampled() const {
  std::vector<const HostSocket*> found;
  for (const auto& [cookie, socket] : sockets_) {
    bool wanted = !socket.runs.empty() && socket.socket.protocol == IPPROTO_TCP;
    if (wanted && !socket.closed) found.push_back(&socket);
  }
  return found;
}

}  // namespace fieldline::capture
