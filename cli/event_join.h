// SPDX-License-Identifier: Apache-2.0
// Whose packet is a record without a cookie: by host and ports, and where several sockets have
// those, by sequence, as the host that recorded it does.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <vector>

#include "proto/event.h"

namespace fieldline::cli {

class EventJoin {
 public:
  // What is known of sockets; in any order, before is_of().
  void learn(std::uint16_t host, const magnet_record_ext& record);
  void learn(std::uint16_t host, const fl_tcp_info& sample);
  void sort();

  enum class Answer { no, yes, by_ports };  // by_ports: his or another's of the same ports
  Answer is_of(std::uint64_t sockid, std::uint16_t host, const magnet_record_ext& record) const;

 private:
  struct Ports {
    std::uint16_t host = 0, local = 0, peer = 0;
    std::uint8_t protocol = 0;
    auto operator<=>(const Ports&) const = default;
  };
  // Where a socket's own sequence stood. Only what has moved by kStep since the last is kept, so
  // that 16 bytes stand for 64 MiB sent.
  struct Mark {
    std::uint64_t time;
    std::uint32_t sequence;
  };
  using Marks = std::vector<Mark>;
  static constexpr std::uint32_t kStep = 1u << 26;
  static constexpr std::uint32_t kNear = 1u << 28;  // the host's own limit

  static Ports ports_of(std::uint16_t host, const magnet_record_ext& record);
  static std::uint32_t distance(const Marks& marks, std::uint64_t time, std::uint32_t sequence);

  std::map<Ports, std::map<std::uint64_t, Marks>> sockets_;  // by cookie
};

}  // namespace fieldline::cli
