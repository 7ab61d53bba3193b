// SPDX-License-Identifier: Apache-2.0
// Records, sockets and flows of a host, and an archive that takes what its recorder gives.
#pragma once

#include <netinet/in.h>

#include <catch2/catch.hpp>

#include "capture/host_recorder.h"

namespace fieldline::test {

using namespace fieldline::capture;

inline RunId run_of(std::uint8_t byte) {
  RunId id;
  id.bytes.fill(byte);
  return id;
}
inline const RunId kSession = run_of(0x51);

inline Address address(const char* text) {
  return *Address::parse(text);
}

inline DiagSocket socket_of(std::uint64_t cookie, const char* local, std::uint16_t local_port,
                            const char* peer, std::uint16_t peer_port,
                            std::uint8_t protocol = IPPROTO_TCP) {
  DiagSocket socket;
  socket.cookie = cookie;
  socket.protocol = protocol;
  socket.local = address(local);
  socket.local_port = local_port;
  socket.remote_port = peer_port;
  if (peer_port != 0) socket.remote = address(peer);
  return socket;
}

// tcp from a to b's port, as a grant with any port at host A makes it: one entry a direction.
inline std::vector<HostFlow> flows(const RunId& run, const char* a, const char* b,
                                   std::uint16_t port, std::uint8_t protocol = IPPROTO_TCP) {
  HostFlow there;
  auto put = [](__u8(&key)[16], __u8(&mask)[16], const char* text) {
    const Address from = address(text);
    std::copy(from.bytes.begin(), from.bytes.end(), key);
    std::fill(std::begin(mask), std::end(mask), __u8{0xff});
  };
  put(there.key.src, there.mask.src, a);
  put(there.key.dst, there.mask.dst, b);
  there.key.dport = big_endian(port);
  there.mask.dport = 0xffff;
  there.key.protocol = protocol;
  there.mask.protocol = 0xff;
  there.runs = {run};
  HostFlow back;
  put(back.key.src, back.mask.src, b);
  put(back.key.dst, back.mask.dst, a);
  back.key.sport = big_endian(port);
  back.mask.sport = 0xffff;
  back.key.protocol = protocol;
  back.mask.protocol = 0xff;
  back.runs = {run};
  return {there, back};
}

inline magnet_record_ext record(std::uint32_t event, std::uint64_t sockid,
                                std::int32_t size = 100) {
  static std::uint64_t now = 1000;
  magnet_record_ext one{};
  one.head = {sockid, ++now, event, size};
  return one;
}

inline magnet_record_ext device(std::uint32_t event, std::uint16_t local, std::uint16_t peer,
                                std::uint32_t seq = 0, std::uint32_t ack = 0,
                                std::uint8_t protocol = IPPROTO_TCP) {
  magnet_record_ext one = record(event, 0);
  one.ext.packet.local_port = local;
  one.ext.packet.peer_port = peer;
  one.ext.packet.seq = seq;
  one.ext.packet.ack = ack;
  one.ext.packet.protocol = protocol;
  return one;
}

inline magnet_record_ext sent(std::uint64_t sockid, std::uint32_t seq) {
  magnet_record_ext one = record(MAGNET_SOCK_SEND, sockid);
  one.ext.sock.protocol = IPPROTO_TCP;
  one.ext.sock.seq = seq;
  return one;
}

// Takes frames as an archive would; refuses while `full`.
struct Store {
  bool full = false;
  std::map<RunId, std::vector<magnet_record_ext>> records;
  std::map<RunId, std::vector<fl_tcp_info>> samples;
  std::size_t frames = 0;

  EventSink sink() {
    return [this](const RunId& run, ByteView body) {
      if (full) return false;
      auto events = parse_events(body);
      REQUIRE(events.has_value());
      CHECK(events->session == kSession);
      ++frames;
      for (std::uint32_t i = 0; i < events->count; ++i) {
        if (events->is_samples()) {
          samples[run].push_back(events->sample(i));
        } else {
          records[run].push_back(events->record(i));
        }
      }
      return true;
    };
  }
};

inline void give(HostRecorder& recorder, const std::vector<magnet_record_ext>& records,
                 unsigned cpu = 0, bool has_extension = true) {
  recorder.on_batch({cpu, has_extension, records});
}

inline constexpr const char *kA = "10.0.0.1", *kB = "10.0.1.2", *kC = "10.0.2.2";

}  // namespace fieldline::test
