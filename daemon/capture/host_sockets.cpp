// SPDX-License-Identifier: Apache-2.0
#include "capture/host_sockets.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>
#include <utility>

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

using Ports = HostSockets::Ports;

std::optional<Ports> ports_of(const magnet_record_ext& record) {
  const magnet_ext& ext = record.ext;
  switch (layer(record)) {
    case MAGNET_LAYER_SOCK:
      return Ports{ext.sock.protocol, ext.sock.local_port, ext.sock.peer_port};
    case MAGNET_LAYER_TCP:
      return Ports{std::uint8_t{IPPROTO_TCP}, ext.tcp.local_port, ext.tcp.peer_port};
    case MAGNET_LAYER_UDP:
    case MAGNET_LAYER_IP:
    case MAGNET_LAYER_DEV:
      return Ports{ext.packet.protocol, ext.packet.local_port, ext.packet.peer_port};
    default:
      return {};
  }
}

// By its ports, this host's side being the source.
bool fits(const HostFlow& flow, const Ports& ports) {
  const auto [protocol, local, peer] = ports;
  auto is_in = [](std::uint16_t port, __be16 want, __be16 mask) {
    return ((big_endian(port) ^ want) & mask) == 0;
  };
  return flow.key.protocol == protocol && is_in(local, flow.key.sport, flow.mask.sport) &&
         is_in(peer, flow.key.dport, flow.mask.dport);
}

// The record's own word is of another peer: connected anew, and not told. Packets do not count: on
// their way they may be translated.
bool differs(const HostSocket& socket, const magnet_record_ext& record) {
  const std::uint32_t event = record.head.event;
  const bool tells =
      event == MAGNET_SOCK_SEND || event == MAGNET_SOCK_RECV || layer(record) == MAGNET_LAYER_TCP;
  if (!tells || socket.socket.remote_port == 0) return false;
  const auto [protocol, local, peer] = *ports_of(record);
  if (local == 0 || peer == 0) return false;
  return local != socket.socket.local_port || peer != socket.socket.remote_port;
}

bool is_same(const DiagSocket& a, const DiagSocket& b) {
  return a.protocol == b.protocol && a.local_port == b.local_port &&
         a.remote_port == b.remote_port && a.remote == b.remote;
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

bool HostFlow::operator==(const HostFlow& other) const {
  return std::memcmp(&key, &other.key, sizeof key) == 0 &&
         std::memcmp(&mask, &other.mask, sizeof mask) == 0 && runs == other.runs;
}

// A renewal changes nothing here, and comes five times a second.
void HostSockets::set_flows(std::vector<HostFlow> flows) {
  if (flows == flows_) return;
  flows_ = std::move(flows);
  strangers_.clear();
  others_.clear();
  idle_ = 0;
  for (auto& [cookie, socket] : sockets_) {
    socket.runs = runs_of(socket.socket);
    socket.alone.reset();
    idle_ += socket.runs.empty() ? 1 : 0;
  }
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

bool HostSockets::has(const DiagSocket& socket) const {
  auto at = sockets_.find(socket.cookie);
  return at != sockets_.end() && !at->second.closed && is_same(at->second.socket, socket);
}

void HostSockets::learn(const DiagSocket& socket, std::uint64_t at_ns) {
  if (socket.cookie == 0) return;
  strangers_.erase(socket.cookie);
  others_.erase(socket.cookie);
  std::uint64_t from_ns = at_ns;
  if (auto at = sockets_.find(socket.cookie); at != sockets_.end()) {
    HostSocket& known = at->second;
    if (is_same(known.socket, socket) && !known.closed) {
      known.socket = socket;
      return;
    }
    // Connected anew: what it did before is not this peer's.
    from_ns = std::max(at_ns, known.closed && known.to_ns != UINT64_MAX ? known.to_ns : 0);
    forget(socket.cookie);
  }
  if (sockets_.size() >= kMost && !make_room()) {
    ++refused_;
    return;
  }
  HostSocket fresh;
  fresh.socket = socket;
  fresh.runs = runs_of(socket);
  fresh.from_ns = from_ns;
  idle_ += fresh.runs.empty() ? 1 : 0;
  sockets_[socket.cookie] = std::move(fresh);
  ports_.emplace(Ports{socket.protocol, socket.local_port, socket.remote_port}, socket.cookie);
}

void HostSockets::pass_over(std::uint64_t cookie, std::uint64_t at_ns) {
  forget(cookie);
  others_.add(cookie, at_ns);
}

void HostSockets::close(std::uint64_t cookie, std::uint64_t at_ns) {
  auto at = sockets_.find(cookie);
  if (at == sockets_.end() || at->second.closed) return;
  at->second.closed = true;
  at->second.to_ns = at_ns;
  closed_.push_back(cookie);
  if (closed_.size() < 2 * kClosed) return;
  for (std::size_t i = 0; i < kClosed; ++i) {
    // It may have been connected anew.
    auto old = sockets_.find(closed_[i]);
    if (old != sockets_.end() && old->second.closed) forget(closed_[i]);
  }
  closed_.erase(closed_.begin(), closed_.begin() + kClosed);
}

void HostSockets::forget(std::uint64_t cookie) {
  strangers_.erase(cookie);
  others_.erase(cookie);
  auto at = sockets_.find(cookie);
  if (at == sockets_.end()) return;
  const DiagSocket& socket = at->second.socket;
  auto [from, to] = ports_.equal_range({socket.protocol, socket.local_port, socket.remote_port});
  auto entry = std::find_if(from, to, [&](const auto& one) { return one.second == cookie; });
  if (entry != to) ports_.erase(entry);
  idle_ -= at->second.runs.empty() ? 1 : 0;
  sockets_.erase(at);
}

// Sockets of no run are met again, and asked for again, if they still matter. Not for a few of
// them: the whole table is looked through.
bool HostSockets::make_room() {
  if (idle_ < kMost / 8) return false;
  std::vector<std::uint64_t> idle;
  for (const auto& [cookie, socket] : sockets_) {
    if (socket.runs.empty()) idle.push_back(cookie);
  }
  for (std::uint64_t cookie : idle) forget(cookie);
  return true;
}

HostSockets::Joined HostSockets::join(const magnet_record_ext& record, bool has_extension,
                                      bool asked) {
  const std::uint64_t cookie = record.head.sockid, now_ns = record.head.timestamp;
  if (cookie != 0) {
    auto at = sockets_.find(cookie);
    const bool known = at != sockets_.end() && !(has_extension && differs(at->second, record));
    if (known) return by_cookie(at->second, record, has_extension);
    if (others_.contains(cookie, now_ns)) return {Verdict::others, nullptr};
    if (!strangers_.contains(cookie, now_ns)) {
      if (!asked) return {Verdict::ask, nullptr};
      strangers_.add(cookie, now_ns);
    }
    // sock_diag does not know it: closed since, or of another namespace, whose ports may be ours.
    if (!by_flow_ || at != sockets_.end()) return {};
  }
  auto ports = has_extension ? ports_of(record) : std::nullopt;
  return ports ? by_ports(*ports, record) : Joined{};
}

HostSockets::Joined HostSockets::by_cookie(HostSocket& socket, const magnet_record_ext& record,
                                           bool has_extension) {
  const std::uint64_t at_ns = record.head.timestamp;
  const bool is_udp = socket.socket.protocol == IPPROTO_UDP;
  // TCP has no peer but one between its open and its close; what it sends around them is to it.
  const bool between = !is_udp || (at_ns >= socket.from_ns && at_ns <= socket.to_ns);
  if (is_connected(socket.socket) && between) {
    if (auto sent = has_extension ? own_sequence(record) : std::nullopt) socket.sent = sent;
    if (socket.runs.empty()) return {Verdict::others, nullptr};
    return {Verdict::theirs, &socket.runs};
  }
  // An unconnected socket talks to anybody: only its packets say to whom. They are not those of
  // another socket that has the same ports.
  if (!is_packet(record)) return {Verdict::others, nullptr};
  auto ports = has_extension ? ports_of(record) : std::nullopt;
  return by_flow_ && ports ? by_flow_ports(*ports) : Joined{};
}

// Could a record with its ports be of a flow whose runs are not all of its own?
bool HostSockets::is_alone(HostSocket& socket) const {
  if (socket.alone) return *socket.alone;
  const fl_flow_key key = key_of(socket.socket);
  const Ports ports{socket.socket.protocol, socket.socket.local_port, socket.socket.remote_port};
  socket.alone = std::none_of(flows_.begin(), flows_.end(), [&](const HostFlow& flow) {
    return fits(flow, ports) && !matches(flow, key) &&
           !std::includes(flow.runs.begin(), flow.runs.end(), socket.runs.begin(),
                          socket.runs.end());
  });
  return *socket.alone;
}

HostSockets::Joined HostSockets::by_ports(const Ports& ports, const magnet_record_ext& record) {
  if (std::get<1>(ports) == 0 && std::get<2>(ports) == 0) return {};
  auto [from, to] = ports_.equal_range(ports);
  HostSocket* nearest = nullptr;
  bool differ = false;
  std::uint32_t least = UINT32_MAX;
  bool tied = false;
  const auto sequence = own_sequence(record);
  for (auto at = from; at != to; ++at) {
    HostSocket& socket = sockets_.at(at->second);
    // A source that compared addresses gives no record of a socket that is in no flow.
    if (by_flow_ && socket.runs.empty()) continue;
    if (nearest != nullptr && socket.runs != nearest->runs) differ = true;
    const bool comparable = sequence && socket.sent;
    const std::uint32_t far = comparable ? distance(*sequence, *socket.sent) : UINT32_MAX;
    if (nearest != nullptr && far == least) tied = true;
    if (nearest == nullptr || far < least) {
      tied = false;
      least = far;
      nearest = &socket;
    }
  }
  if (nearest == nullptr) return by_flow_ ? by_flow_ports(ports) : Joined{};
  // Without a sequence that decides, ports do, where no other run's flow and no other namespace
  // (whose packets a source without addresses gives as well) may have them too.
  const bool decided = least <= kNear && !(differ && tied);
  if (!decided && (!by_flow_ || differ || !is_alone(*nearest))) return {};
  if (nearest->runs.empty()) return {Verdict::others, nullptr};
  return {Verdict::theirs, &nearest->runs};
}

// Whose flows have these ports, if that is the same runs for each flow that has them.
HostSockets::Joined HostSockets::by_flow_ports(const Ports& ports) const {
  const Runs* runs = nullptr;
  for (const HostFlow& flow : flows_) {
    if (!fits(flow, ports)) continue;
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
