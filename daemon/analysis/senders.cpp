// SPDX-License-Identifier: Apache-2.0
#include "analysis/senders.h"

#include <netinet/in.h>

#include <algorithm>
#include <iterator>

#include "analysis/ledger.h"
#include "base/text.h"

namespace fieldline::analysis {
namespace {

using nlohmann::json;

constexpr std::uint64_t kBehindNs = 2'000'000'000;  // how far one CPU's records may be behind
constexpr std::size_t kHostsMost = 256;
constexpr std::uint64_t kLeastTimeNs = 1'000'000'000;
constexpr const char* kLosses[] = {"lost", "missed", "dropped_spool", "samples_dropped"};

struct Ports {
  std::uint16_t local = 0, peer = 0;
};

// Of records that are a TCP socket's own; none of others.
std::optional<Ports> tcp_ports(const magnet_record_ext& record) {
  const magnet_ext& ext = record.ext;
  switch (record.head.event) {
    case MAGNET_TCP_SEND:
    case MAGNET_TCP_RECV:
    case MAGNET_TCP_RETRANS:
      return Ports{ext.tcp.local_port, ext.tcp.peer_port};
    case MAGNET_SOCK_SEND:
    case MAGNET_SOCK_RECV:
    case MAGNET_SOCK_CLOSE:
      if (ext.sock.protocol == IPPROTO_TCP) return Ports{ext.sock.local_port, ext.sock.peer_port};
      return {};
    case MAGNET_SOCK_OPEN:
      if (ext.open.protocol == IPPROTO_TCP) return Ports{ext.open.local_port, ext.open.peer_port};
      return {};
    default:
      return {};
  }
}

struct Passing {
  HostLayer layer;
  std::uint32_t bytes = 0;  // the application's
  Ports ports;
};

// Of records that say what passed a layer; none of what carries no data.
std::optional<Passing> passing(const magnet_record_ext& record) {
  const magnet_ext& ext = record.ext;
  const auto size = static_cast<std::uint32_t>(std::max<std::int32_t>(record.head.size, 0));
  const auto of = [](HostLayer layer, std::uint32_t bytes, std::uint16_t local,
                     std::uint16_t peer) {
    return bytes ? std::optional(Passing{layer, bytes, {local, peer}}) : std::nullopt;
  };
  const auto of_packet = [&](HostLayer layer) {
    if (ext.packet.protocol != IPPROTO_TCP) return std::optional<Passing>();
    return of(layer, ext.packet.payload, ext.packet.local_port, ext.packet.peer_port);
  };
  switch (record.head.event) {
    case MAGNET_SOCK_SEND:
      if (ext.sock.protocol != IPPROTO_TCP) return {};
      return of(HostLayer::application_out, size, ext.sock.local_port, ext.sock.peer_port);
    case MAGNET_SOCK_RECV:
      if (ext.sock.protocol != IPPROTO_TCP) return {};
      return of(HostLayer::application_in, size, ext.sock.local_port, ext.sock.peer_port);
    case MAGNET_TCP_SEND:
      return of(HostLayer::tcp_out, size, ext.tcp.local_port, ext.tcp.peer_port);
    case MAGNET_TCP_RECV:
      return of(HostLayer::tcp_in, size, ext.tcp.local_port, ext.tcp.peer_port);
    case MAGNET_IP_SEND:
    case MAGNET_IP6_SEND:
      return of_packet(HostLayer::ip_out);
    case MAGNET_IP_RECV:
    case MAGNET_IP6_RECV:
      return of_packet(HostLayer::ip_in);
    case MAGNET_DEV_SEND:
      return of_packet(HostLayer::device_out);
    case MAGNET_DEV_RECV:
      return of_packet(HostLayer::device_in);
    default:
      return {};
  }
}

Address address_of(const std::uint8_t (&bytes)[16]) {
  Address address;
  std::copy(std::begin(bytes), std::end(bytes), address.bytes.begin());
  return address;
}

}  // namespace

Senders::Host* Senders::host_of(const RunId& session) {
  const auto known = std::find_if(hosts_.begin(), hosts_.end(),
                                  [&](const Host& host) { return host.session == session; });
  if (known != hosts_.end()) return &*known;
  if (hosts_.size() >= kHostsMost) return nullptr;
  hosts_.emplace_back();
  hosts_.back().session = session;
  hosts_.back().told.name = session.brief();
  return &hosts_.back();
}

void Senders::describe(const json& document) {
  if (string_in(document, "role") != "host") return;
  const auto session = RunId::parse(string_in(document, "session").value_or(""));
  Host* host = session ? host_of(*session) : nullptr;
  if (!host) return;
  EventHost& told = host->told;
  told.name = printable(string_in(document, "sensor").value_or(told.name));
  if (!document.contains("events") || !document["events"].is_object()) return;
  const json& events = document["events"];
  told.source = printable(string_in(events, "source").value_or(told.source));
  if (events.contains("absent") && events["absent"].is_array()) {
    told.absent.clear();
    for (const json& name : events["absent"]) {
      if (name.is_string()) told.absent.push_back(printable(name.get<std::string>()));
    }
  }
  for (const char* loss : kLosses) {
    if (const auto count = number_in(events, loss)) told.lost[loss] = *count;
  }
}

void Senders::name(const RunId& session, const std::string& host, const std::string& source) {
  if (Host* of = host_of(session)) {
    of->told.name = host;
    of->told.source = source;
  }
}

bool Senders::take(ByteView frame) {
  const auto body = parse_events(frame);
  Host* host = body ? host_of(body->session) : nullptr;
  if (!host) return false;
  if (!body->is_samples() && !body->has_extension()) {
    host->told.bare += body->count;
    return true;
  }
  for (std::uint32_t i = 0; i < body->count; ++i) {
    if (body->is_samples()) {
      take(*host, body->sample(i));
    } else {
      take(*host, body->record(i));
    }
  }
  return true;
}

void Senders::take(const RunId& session, const magnet_record_ext& record) {
  if (Host* host = host_of(session)) take(*host, record);
}

void Senders::take(const RunId& session, const fl_tcp_info& sample) {
  if (Host* host = host_of(session)) take(*host, sample);
}

void Senders::take(Host& host, const magnet_record_ext& record) {
  ++host.told.records;
  if (record.head.event == MAGNET_LOST || record.head.event == MAGNET_DEV_SEND ||
      tcp_ports(record) || (spacing_ && passing(record)))
    queue(host, {record.head.timestamp, record});
}

void Senders::take(Host& host, const fl_tcp_info& sample) {
  ++host.told.samples;
  queue(host, {sample.timestamp, sample});
}

// A time from before the epoch's second or after the year 2554 is no time, and would keep every
// later record out.
void Senders::queue(Host& host, Item item) {
  const std::uint64_t time_ns = item.time_ns;
  if (time_ns < host.seen_ns || time_ns < kLeastTimeNs || time_ns > UINT64_MAX - kLeastTimeNs) {
    ++host.told.late;
    host.resends.lose();
    return;
  }
  host.queue.push(std::move(item));
  host.newest_ns = std::max(host.newest_ns, time_ns);
  if (host.newest_ns > kBehindNs) drain(host, host.newest_ns - kBehindNs);
}

void Senders::drain(Host& host, std::uint64_t until_ns) {
  host.queue.drain(until_ns, [&](const Item& item) {
    host.seen_ns = item.time_ns;
    std::visit([&](const auto& one) { see(host, one); }, item.one);
  });
}

EventSocket* Senders::socket_of(Host& host, std::uint64_t cookie) {
  const auto found = host.sockets.find(cookie);
  if (found != host.sockets.end()) return &found->second;
  if (sockets_ >= kSocketsMost) {
    ++left_out_;
    return nullptr;
  }
  // The first ones, of which a user asks, are told finely; of thousands each coarsely.
  const std::size_t bins = sockets_ < 64 ? 4096 : sockets_ < 1024 ? 512 : 64;
  ++sockets_;
  EventSocket& socket = host.sockets.emplace(cookie, EventSocket(interval_ns_, bins)).first->second;
  socket.cookie = cookie;
  return &socket;
}

void Senders::see(Host& host, const magnet_record_ext& record) {
  if (record.head.event == MAGNET_LOST) {
    host.ring_lost += static_cast<std::uint32_t>(record.head.size);
    host.resends.lose();
    for (auto& [cookie, socket] : host.sockets)
      socket.sending.lose(record.ext.lost.first, record.head.timestamp);
    return;
  }
  host.resends.see(record);
  if (spacing_) see_layer(host, record);
  const auto ports = tcp_ports(record);
  if (!ports) return;
  EventSocket* socket = record.head.sockid ? socket_of(host, record.head.sockid) : nullptr;
  if (!socket) return;
  if (spacing_ && (ports->local != socket->local_port || ports->peer != socket->peer_port))
    host.cookies[{ports->local, ports->peer}] = socket->cookie;
  socket->local_port = ports->local;
  socket->peer_port = ports->peer;
  if (record.head.event == MAGNET_SOCK_OPEN) {
    socket->local = address_of(record.ext.open.local);
    socket->peer = address_of(record.ext.open.peer);
  }
  socket->sending.see(record);
  socket->reading.see(record);
}

// Where a port pair is used again the records without a cookie are the later socket's.
void Senders::see_layer(Host& host, const magnet_record_ext& record) {
  const auto passed = passing(record);
  if (!passed) return;
  std::uint64_t cookie = record.head.sockid;
  if (cookie == 0) {
    const auto known = host.cookies.find({passed->ports.local, passed->ports.peer});
    if (known == host.cookies.end()) return;
    cookie = known->second;
  }
  if (EventSocket* socket = socket_of(host, cookie))
    socket->layers[passed->layer].see(record.head.timestamp, passed->bytes);
}

void Senders::see(Host& host, const fl_tcp_info& sample) {
  EventSocket* socket = sample.sockid ? socket_of(host, sample.sockid) : nullptr;
  if (!socket) return;
  socket->local_port = sample.local_port;
  socket->peer_port = sample.peer_port;
  socket->sending.see(sample);
}

EventSockets Senders::finish() const {
  EventSockets all;
  Senders copy = *this;
  for (Host& host : copy.hosts_) {
    copy.drain(host, UINT64_MAX);
    host.told.lost.try_emplace("lost", host.ring_lost);
    std::erase_if(host.told.lost, [](const auto& loss) { return loss.second == 0; });
    host.told.resent = host.resends.resent();
    host.told.never_left = host.resends.never_left();
    all.hosts.push_back(host.told);
    for (auto& [cookie, socket] : host.sockets) {
      socket.sending.finish();
      socket.host = host.told.name;
      all.sockets.push_back(std::move(socket));
    }
  }
  all.left_out = copy.left_out_;
  return all;
}

}  // namespace fieldline::analysis
