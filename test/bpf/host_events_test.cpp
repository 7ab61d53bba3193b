// SPDX-License-Identifier: Apache-2.0
// Event records by eBPF against known traffic over loopback, in a namespace of the test's own.
#include "source/host_events.h"

#include <linux/filter.h>
#include <linux/net_tstamp.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <map>
#include <set>
#include <thread>

#include "base/clock.h"
#include "bench.h"
#include "host_network.h"

namespace fieldline {

using source::HostEvents;

std::vector<source::FlowEntry> flow_of(int family, std::uint8_t protocol, std::uint16_t port) {
  const char* address = family == AF_INET ? "127.0.0.1" : "::1";
  return {entry(key_of(address, address, protocol, 0, port), any_port_mask(true, false), 0),
          entry(key_of(address, address, protocol, port, 0), any_port_mask(false, true), 1,
                kForever, 0, FL_REVERSE)};
}

namespace {

constexpr std::uint16_t kPort = 5201;

std::unique_ptr<HostEvents> open_events(std::uint32_t ring_bytes = 4u << 20) {
  auto events = HostEvents::open({{"lo"}, ring_bytes, 64});
  INFO((events ? std::string() : events.error().text()));
  REQUIRE(events.has_value());
  return std::move(*events);
}

// As app does it at a run's begin and end.
Result<void> watch(HostEvents& events, const std::vector<source::FlowEntry>& entries) {
  auto applied = events.apply(entries);
  if (applied && !entries.empty()) return events.arm();
  events.disarm();
  return applied;
}

std::vector<magnet_record_ext> records_of(HostEvents& events) {
  std::vector<magnet_record_ext> records;
  auto drained = events.drain([&](const magnet::EventSource::Batch& batch) {
    CHECK(batch.has_extension);
    records.insert(records.end(), batch.records.begin(), batch.records.end());
  });
  REQUIRE(drained.has_value());
  CHECK(*drained == records.size());
  return records;
}

std::vector<magnet_record_ext> only(const std::vector<magnet_record_ext>& records,
                                    std::uint32_t event, std::uint64_t sockid = 0) {
  std::vector<magnet_record_ext> found;
  for (const auto& record : records) {
    bool wanted = sockid == 0 || record.head.sockid == sockid;
    if (record.head.event == event && wanted) found.push_back(record);
  }
  return found;
}

std::int64_t bytes_of(const std::vector<magnet_record_ext>& records) {
  std::int64_t sum = 0;
  for (const auto& record : records) sum += record.head.size;
  return sum;
}

}  // namespace

TEST_CASE("What the application sent and received is what its socket's records say") {
  const int family = GENERATE(AF_INET, AF_INET6);
  HostNetwork network;
  auto events = open_events();
  REQUIRE(watch(*events, flow_of(family, IPPROTO_TCP, kPort)).has_value());
  const std::uint64_t begin = SystemClock().utc_ns();
  auto pair = connect_tcp(family, kPort);
  const std::uint64_t client = cookie_of(pair.client), server = cookie_of(pair.server);
  const std::size_t calls = exchange(pair, 1'000'000, 7000);
  pair.client.reset();
  char byte;
  REQUIRE(recv(pair.server.get(), &byte, 1, 0) == 0);
  pair.server.reset();
  const auto records = records_of(*events);
  const std::uint64_t end = SystemClock().utc_ns();

  const auto sent = only(records, MAGNET_SOCK_SEND, client);
  CHECK(sent.size() == calls);
  CHECK(bytes_of(sent) == 1'000'000);
  const auto received = only(records, MAGNET_SOCK_RECV, server);
  CHECK(bytes_of(received) == 1'000'000);
  REQUIRE(!received.empty());
  CHECK(received.back().head.size == 0);  // the end of the stream
  CHECK(bytes_of(only(records, MAGNET_TCP_RECV, server)) == 1'000'000);
  // Sequences join the layers: what was written behind the last byte of the first call is where the
  // second begins on the wire.
  REQUIRE(sent.size() > 2);
  CHECK(sent[1].ext.sock.seq - sent[0].ext.sock.seq == 7000);
  CHECK(sent[0].ext.sock.pid == static_cast<std::uint32_t>(getpid()));
  CHECK(sent[0].ext.sock.local_port == pair.client_port);
  CHECK(sent[0].ext.sock.peer_port == kPort);
  for (std::uint64_t socket : {client, server}) {
    const auto opened = only(records, MAGNET_SOCK_OPEN, socket);
    REQUIRE(opened.size() == 1);
    CHECK(opened[0].ext.open.passive == (socket == server));
    CHECK(opened[0].ext.open.local_port == (socket == server ? kPort : pair.client_port));
    CHECK(opened[0].ext.open.family == family);
    CHECK(opened[0].ext.open.peer[15] == 1);
    CHECK(opened[0].ext.open.local[15] == 1);
  }
  for (const auto& record : records) {
    CHECK(record.head.timestamp >= begin);
    CHECK(record.head.timestamp <= end);
  }
  auto counted = events->accounting();
  REQUIRE(counted.has_value());
  CHECK(counted->recorded == records.size());
  CHECK(counted->lost == 0);
  CHECK(counted->missed == 0);
}

TEST_CASE("A peek, and what the error queue gives, are bytes that nobody received") {
  HostNetwork network;
  auto events = open_events();
  REQUIRE(watch(*events, flow_of(AF_INET, IPPROTO_TCP, kPort)).has_value());
  auto pair = connect_tcp(AF_INET, kPort);
  const std::uint64_t client = cookie_of(pair.client), server = cookie_of(pair.server);
  const int times = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
  REQUIRE(setsockopt(pair.client.get(), SOL_SOCKET, SO_TIMESTAMPING, &times, sizeof times) == 0);
  std::array<char, 2000> data{};
  REQUIRE(send(pair.client.get(), data.data(), 500, 0) == 500);
  pollfd told{pair.client.get(), 0, 0};
  REQUIRE(poll(&told, 1, 10'000) == 1);
  REQUIRE(recv(pair.client.get(), data.data(), data.size(), MSG_ERRQUEUE) >= 500);
  REQUIRE(recv(pair.server.get(), data.data(), data.size(), MSG_PEEK) == 500);
  REQUIRE(recv(pair.server.get(), data.data(), data.size(), 0) == 500);
  const auto records = records_of(*events);
  const auto sizes = [&](std::uint64_t socket) {
    std::vector<std::int32_t> all;
    for (const auto& record : only(records, MAGNET_SOCK_RECV, socket))
      all.push_back(record.head.size);
    return all;
  };
  CHECK(sizes(client) == std::vector<std::int32_t>{0});
  CHECK(sizes(server) == std::vector<std::int32_t>{0, 500});
}

TEST_CASE("Device records carry what joins them to packets: every byte of the stream, both ways") {
  HostNetwork network;
  auto events = open_events();
  REQUIRE(watch(*events, flow_of(AF_INET, IPPROTO_TCP, kPort)).has_value());
  const std::uint64_t out = HostNetwork::snmp("Tcp", "OutSegs");
  auto pair = connect_tcp(AF_INET, kPort);
  const std::uint64_t client = cookie_of(pair.client);
  exchange(pair, 300'000, 10'000);
  const auto records = records_of(*events);

  const auto sent = only(records, MAGNET_DEV_SEND), received = only(records, MAGNET_DEV_RECV);
  CHECK(sent.size() == received.size());
  std::uint64_t payload = 0, segments = 0;
  for (const auto& record : sent) {
    const auto& ext = record.ext.packet;
    segments += std::max<std::uint64_t>(1, ext.gso_segs);
    if (ext.local_port == pair.client_port) payload += ext.payload;
    CHECK(ext.ifindex == 1);
    CHECK(ext.protocol == IPPROTO_TCP);
    std::uint64_t tag = 0;
    std::memcpy(&tag, record.ext.bytes + 32, sizeof tag);
    CHECK(tag == 0x7f000001'7f000001u);
    CHECK(record.head.size >= static_cast<std::int32_t>(14 + 20 + 20 + ext.payload));
  }
  CHECK(payload == 300'000);
  CHECK(segments == HostNetwork::snmp("Tcp", "OutSegs") - out);
  CHECK(!only(records, MAGNET_DEV_SEND, client).empty());
  for (const auto& record : received) CHECK(record.head.sockid == 0);
  // The same packets: sequences and payloads agree, the ports are seen from the other side.
  auto identity = [](const magnet_record_ext& r, bool flip) {
    const auto& e = r.ext.packet;
    return std::tuple(flip ? e.peer_port : e.local_port, e.seq, e.ack, e.payload, e.flags, e.ip_id);
  };
  std::multiset<std::tuple<std::uint16_t, std::uint32_t, std::uint32_t, std::uint32_t, std::uint8_t,
                           std::uint16_t>>
      left, right;
  for (const auto& record : sent) left.insert(identity(record, false));
  for (const auto& record : received) right.insert(identity(record, true));
  CHECK(left == right);
}

TEST_CASE("Sockets of no run, and of other namespaces, leave no record") {
  HostNetwork network;
  auto events = open_events();
  REQUIRE(watch(*events, flow_of(AF_INET, IPPROTO_TCP, kPort)).has_value());
  auto other = connect_tcp(AF_INET, kPort + 1);
  exchange(other, 50'000, 5000);
  std::thread elsewhere([] {
    HostNetwork another;
    auto theirs = connect_tcp(AF_INET, kPort);
    exchange(theirs, 50'000, 5000);
  });
  elsewhere.join();
  CHECK(records_of(*events).empty());
  CHECK(events->accounting()->recorded == 0);
}

TEST_CASE(
    "A socket that was open before the run is recorded from then on, and not behind its end") {
  HostNetwork network;
  auto events = open_events();
  auto pair = connect_tcp(AF_INET, kPort);
  exchange(pair, 10'000, 1000);
  CHECK(records_of(*events).empty());
  REQUIRE(watch(*events, flow_of(AF_INET, IPPROTO_TCP, kPort)).has_value());
  exchange(pair, 20'000, 1000);
  CHECK(bytes_of(only(records_of(*events), MAGNET_SOCK_SEND)) == 20'000);

  auto over = flow_of(AF_INET, IPPROTO_TCP, kPort);
  for (auto& one : over) one.value.deadline_ns = 1;  // the kernel alone ends it
  REQUIRE(watch(*events, over).has_value());
  exchange(pair, 10'000, 1000);
  CHECK(records_of(*events).empty());
  REQUIRE(watch(*events, {}).has_value());
  exchange(pair, 10'000, 1000);
  CHECK(records_of(*events).empty());
}

TEST_CASE("SmallestRing: recorded + lost = events, and LOST records say how many") {
  HostNetwork network;
  auto plenty = open_events();
  auto events = open_events(4096);
  for (auto* one : {plenty.get(), events.get()})
    REQUIRE(watch(*one, flow_of(AF_INET, IPPROTO_TCP, kPort)).has_value());
  auto pair = connect_tcp(AF_INET, kPort);
  std::uint64_t read = 0, told = 0;
  auto take = [&] {
    for (const auto& record : records_of(*events)) {
      if (record.head.event == MAGNET_LOST) {
        told += static_cast<std::uint64_t>(record.head.size);
        CHECK(record.ext.lost.first <= record.head.timestamp);
        CHECK(record.ext.lost.first > 0);
      } else {
        ++read;
      }
    }
  };
  for (int round = 0; round < 5; ++round) {
    exchange(pair, 200'000, 2000);
    take();
  }
  exchange(pair, 1, 1);  // room again: what is still untold is told
  take();
  REQUIRE(watch(*plenty, {}).has_value());
  REQUIRE(watch(*events, {}).has_value());
  const auto all = *plenty->accounting(), some = *events->accounting();
  CHECK(all.lost == 0);
  CHECK(all.recorded == records_of(*plenty).size());
  CHECK(some.lost > 0);
  CHECK(some.recorded == read);
  CHECK(some.recorded + some.lost + some.missed == all.recorded + all.missed);
  // Each CPU tells its own; on each that had an event since, none is untold.
  CHECK(told <= some.lost);
  CHECK(told > 0);
}

// From now on this socket takes no packet.
void take_nothing(const Fd& socket) {
  sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
  sock_fprog program{1, &none};
  REQUIRE(setsockopt(socket.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0);
}

TEST_CASE("Retransmissions are those that the kernel counted") {
  HostNetwork network;
  auto events = open_events();
  REQUIRE(watch(*events, flow_of(AF_INET, IPPROTO_TCP, kPort)).has_value());
  auto pair = connect_tcp(AF_INET, kPort);
  exchange(pair, 1000, 1000);
  const std::uint64_t before = HostNetwork::snmp("Tcp", "RetransSegs");
  take_nothing(pair.server);
  char byte = 1;
  REQUIRE(send(pair.client.get(), &byte, 1, 0) == 1);
  const SystemClock clock;
  const std::uint64_t limit = clock.monotonic_ns() + 20 * kNanosPerSecond;
  while (HostNetwork::snmp("Tcp", "RetransSegs") < before + 2) {
    REQUIRE(clock.monotonic_ns() < limit);
    std::this_thread::yield();
  }
  int ignored = 0;
  REQUIRE(setsockopt(pair.server.get(), SOL_SOCKET, SO_DETACH_FILTER, &ignored, sizeof ignored) ==
          0);
  REQUIRE(recv(pair.server.get(), &byte, 1, 0) == 1);
  const auto records = records_of(*events);
  const auto again = only(records, MAGNET_TCP_RETRANS, cookie_of(pair.client));
  std::uint64_t segments = 0;
  for (const auto& record : again) {
    segments += std::max<std::uint64_t>(1, record.ext.tcp.gso_segs);
    CHECK(record.head.size == 1);
    CHECK(record.ext.tcp.peer_port == kPort);
  }
  CHECK(segments == HostNetwork::snmp("Tcp", "RetransSegs") - before);
}

TEST_CASE("An attempt to send again that failed is no retransmission") {
  HostNetwork network;
  auto events = open_events();
  REQUIRE(watch(*events, flow_of(AF_INET, IPPROTO_TCP, kPort)).has_value());
  auto pair = connect_tcp(AF_INET, kPort);
  exchange(pair, 1000, 1000);
  const auto failed = [] { return HostNetwork::counter("netstat", "TcpExt", "TCPRetransFail"); };
  const std::uint64_t before = failed();
  take_nothing(pair.server);
  char byte = 1;
  REQUIRE(send(pair.client.get(), &byte, 1, 0) == 1);
  shell("tc qdisc add dev lo root bfifo limit 1");  // takes no packet, and says so
  (void)records_of(*events);                        // an attempt before that
  const SystemClock clock;
  const std::uint64_t limit = clock.monotonic_ns() + 20 * kNanosPerSecond;
  while (failed() < before + 2) {
    REQUIRE(clock.monotonic_ns() < limit);
    std::this_thread::yield();
  }
  CHECK(only(records_of(*events), MAGNET_TCP_RETRANS).empty());
}

TEST_CASE("What this kernel cannot show is named") {
  HostNetwork network;
  auto events = open_events();
  const auto absent = events->absent();
  for (const char* name : {"TCP_SEND", "UDP_SEND", "UDP_RECV", "IP_SEND", "IP_RECV"})
    CHECK(std::count(absent.begin(), absent.end(), name) == 1);
  CHECK(std::string(events->kind()) == "ebpf");
  CHECK(!HostEvents::open({{"none0"}, 1u << 16, 64}).has_value());
  CHECK(!HostEvents::open({{"lo"}, 5000, 64}).has_value());
}

}  // namespace fieldline
