// SPDX-License-Identifier: Apache-2.0
#include "cli/event_join.h"

#include <netinet/in.h>

#include <algorithm>
#include <optional>

#include "magnet/fields.h"

namespace fieldline::cli {

namespace {

constexpr std::uint8_t kAck = 16;
constexpr std::uint32_t kFar = UINT32_MAX;

std::uint32_t apart(std::uint32_t a, std::uint32_t b) {
  return std::min(a - b, b - a);
}

// Of this host's side: what it sends, or what its peer acknowledges.
std::optional<std::uint32_t> own_sequence(const magnet_record_ext& record) {
  const magnet_ext& ext = record.ext;
  switch (record.head.event) {
    case MAGNET_SOCK_SEND:
      if (ext.sock.protocol == IPPROTO_TCP) return ext.sock.seq;
      return {};
    case MAGNET_TCP_SEND:
    case MAGNET_TCP_RETRANS:
      return ext.tcp.seq;
    case MAGNET_TCP_RECV:
      if ((ext.tcp.flags & kAck) != 0) return ext.tcp.ack;
      return {};
    case MAGNET_IP_SEND:
    case MAGNET_IP6_SEND:
    case MAGNET_DEV_SEND:
      if (ext.packet.protocol == IPPROTO_TCP) return ext.packet.seq;
      return {};
    case MAGNET_IP_RECV:
    case MAGNET_IP6_RECV:
    case MAGNET_DEV_RECV:
      if (ext.packet.protocol == IPPROTO_TCP && (ext.packet.flags & kAck) != 0)
        return ext.packet.ack;
      return {};
    default:
      return {};
  }
}

}  // namespace

EventJoin::Ports EventJoin::ports_of(std::uint16_t host, const magnet_record_ext& record) {
  const magnet_ext& ext = record.ext;
  switch (magnet::layout_of(record.head.event)) {
    case magnet::Layout::open:
      return {host, ext.open.local_port, ext.open.peer_port, ext.open.protocol};
    case magnet::Layout::sock:
      return {host, ext.sock.local_port, ext.sock.peer_port, ext.sock.protocol};
    case magnet::Layout::tcp:
      return {host, ext.tcp.local_port, ext.tcp.peer_port, IPPROTO_TCP};
    case magnet::Layout::packet:
      return {host, ext.packet.local_port, ext.packet.peer_port, ext.packet.protocol};
    default:
      return {};
  }
}

void EventJoin::learn(std::uint16_t host, const magnet_record_ext& record) {
  const Ports ports = ports_of(host, record);
  if (record.head.sockid == 0 || ports.local == 0) return;
  Marks& marks = sockets_[ports][record.head.sockid];
  const auto sequence = own_sequence(record);
  if (!sequence) return;
  if (marks.empty() || apart(*sequence, marks.back().sequence) >= kStep)
    marks.push_back({record.head.timestamp, *sequence});
}

void EventJoin::learn(std::uint16_t host, const fl_tcp_info& sample) {
  if (sample.sockid == 0 || sample.local_port == 0) return;
  (void)sockets_[{host, sample.local_port, sample.peer_port, IPPROTO_TCP}][sample.sockid];
}

void EventJoin::sort() {
  for (auto& [ports, sockets] : sockets_) {
    for (auto& [cookie, marks] : sockets)
      std::stable_sort(marks.begin(), marks.end(),
                       [](const Mark& a, const Mark& b) { return a.time < b.time; });
  }
}

std::uint32_t EventJoin::distance(const Marks& marks, std::uint64_t time, std::uint32_t sequence) {
  if (marks.empty()) return kFar;
  auto after = std::upper_bound(marks.begin(), marks.end(), time,
                                [](std::uint64_t at, const Mark& mark) { return at < mark.time; });
  std::uint32_t least = kFar;
  if (after != marks.end()) least = apart(sequence, after->sequence);
  if (after != marks.begin()) least = std::min(least, apart(sequence, (after - 1)->sequence));
  return least;
}

EventJoin::Answer EventJoin::is_of(std::uint64_t sockid, std::uint16_t host,
                                   const magnet_record_ext& record) const {
  const Ports ports = ports_of(host, record);
  auto at = sockets_.find(ports);
  if (ports.local == 0 || at == sockets_.end() || !at->second.contains(sockid)) return Answer::no;
  if (at->second.size() == 1) return Answer::yes;
  const auto sequence = own_sequence(record);
  if (!sequence) return Answer::by_ports;
  std::uint32_t his = kFar, others = kFar;
  for (const auto& [cookie, marks] : at->second) {
    std::uint32_t& least = cookie == sockid ? his : others;
    least = std::min(least, distance(marks, record.head.timestamp, *sequence));
  }
  if (his == others || std::min(his, others) > kNear) return Answer::by_ports;
  return his < others ? Answer::yes : Answer::no;
}

}  // namespace fieldline::cli
