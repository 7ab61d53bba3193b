// SPDX-License-Identifier: Apache-2.0
#include "capture/host_sockets.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "capture/host_record.h"

namespace fieldline::capture {

namespace {

// The record's own word is of another peer: connected anew, and not told.
bool differs(const HostSocket& socket, const magnet_record_ext& record) {
  if (!tells_peer(record) || socket.socket.remote_port == 0) return false;
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

// Further from a socket's own sequence no packet of it can be.
constexpr std::uint32_t kNear = 1u << 28;

std::uint32_t distance(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::uint32_t>(
      std::abs(static_cast<std::int64_t>(static_cast<std::int32_t>(a - b))));
}

}  // namespace

// A renewal changes nothing here, and comes five times a second.
void HostSockets::set_flows(std::vector<HostFlow> flows) {
  if (!flows_.set(std::move(flows))) return;
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
  return is_connected(socket) ? flows_.runs_of(socket) : Runs();
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
      known.tag = tag_of(socket);
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
  fresh.tag = tag_of(socket);
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
                                      bool asked, std::uint64_t tag) {
  const std::uint64_t cookie = record.head.sockid, now_ns = record.head.timestamp;
  if (cookie != 0) {
    auto at = sockets_.find(cookie);
    const bool known = at != sockets_.end() && !(has_extension && differs(at->second, record));
    if (known) return by_cookie(at->second, record, has_extension, tag);
    if (others_.contains(cookie, now_ns)) return {Verdict::others, nullptr};
    if (!strangers_.contains(cookie, now_ns)) {
      if (!asked) return {Verdict::ask, nullptr};
      strangers_.add(cookie, now_ns);
    }
    // sock_diag does not know it: closed since, or of another namespace, whose ports may be ours.
    if (!by_flow_ || at != sockets_.end()) return {};
  }
  auto ports = has_extension ? ports_of(record) : std::nullopt;
  return ports ? by_ports(*ports, record, tag) : Joined{};
}

HostSockets::Joined HostSockets::by_cookie(HostSocket& socket, const magnet_record_ext& record,
                                           bool has_extension, std::uint64_t tag) {
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
  return by_flow_ && ports ? by_flow_ports(*ports, tag) : Joined{};
}

// Could a record with its ports be of a flow whose runs are not all of its own?
bool HostSockets::is_alone(HostSocket& socket) const {
  if (!socket.alone) socket.alone = flows_.is_alone(socket.socket, socket.runs);
  return *socket.alone;
}

HostSockets::Joined HostSockets::by_ports(const Ports& ports, const magnet_record_ext& record,
                                          std::uint64_t tag) {
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
    if (tag != 0 && tag != socket.tag) continue;
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
  if (nearest == nullptr) return by_flow_ ? by_flow_ports(ports, tag) : Joined{};
  // Addresses and ports are one flow's. Without a sequence that decides, ports alone do, where no
  // other run's flow and no other namespace (whose packets a source without addresses gives as
  // well) may have them too.
  const bool decided = tag != 0 || (least <= kNear && !(differ && tied));
  if (!decided && (!by_flow_ || differ || !is_alone(*nearest))) return {};
  if (nearest->runs.empty()) return {Verdict::others, nullptr};
  return {Verdict::theirs, &nearest->runs};
}

HostSockets::Joined HostSockets::by_flow_ports(const Ports& ports, std::uint64_t tag) {
  const Runs* runs = flows_.by_ports(ports, tag);
  return runs != nullptr ? Joined{Verdict::theirs, runs} : Joined{};
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
