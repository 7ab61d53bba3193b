// SPDX-License-Identifier: Apache-2.0
// What TCP of a host sent again, and what of its data the host's device never sent: dropped between
// the two, by a queueing discipline.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "base/event.h"

namespace fieldline::analysis {

// Ports as the host's data carries them.
struct Resent {
  std::uint16_t sport = 0, dport = 0;
  std::uint32_t sequence = 0, length = 0;
  std::uint8_t ca_state = 0;  // enum tcp_ca_state, when it was sent again
};

struct NeverLeft {
  std::uint16_t sport = 0, dport = 0;
  std::uint32_t sequence = 0, length = 0;
  std::uint64_t left_ns = 0;     // when the device did send it, by the host's clock
  std::uint32_t left_again = 0;  // how often it did since; of parts of it as of all
};

// Fed with a host's records in order of time. A range that its device skipped, and sent only when
// TCP sent it again, had not left before; one that it sent late without that was overtaken. By eBPF
// a retransmission is recorded when it has been handed down, just behind the device's own record.
class HostResends {
 public:
  void see(const magnet_record_ext& record);
  // Records of the host were lost: what is open now may have left unseen.
  void lose();

  const std::vector<Resent>& resent() const { return resent_; }
  const std::vector<NeverLeft>& never_left() const { return never_left_; }

 private:
  static constexpr std::size_t kMost = 65'536;     // of each list
  static constexpr std::size_t kGapsMost = 4'096;  // open, of one socket
  struct Gap {
    std::uint64_t end = 0;
    bool again = false;
  };
  struct Filled {
    std::uint64_t begin, end, time;
  };
  struct Socket {
    bool started = false;
    std::uint64_t high = 0;
    std::map<std::uint64_t, Gap> gaps;          // by first byte
    std::vector<Filled> filled;                 // just now, before TCP said anything
    std::map<std::uint64_t, std::size_t> kept;  // in never_left_, by first byte
  };

  void resend(Socket& socket, const magnet_record_ext& record);
  void leave(Socket& socket, const magnet_record_ext& record);
  void fill(Socket& socket, std::uint64_t begin, std::uint64_t end,
            const magnet_record_ext& record);
  void keep(Socket& socket, const NeverLeft& one, std::uint64_t begin, std::uint64_t end);
  void leave_again(const Socket& socket, std::uint64_t begin, std::uint64_t end);

  std::map<std::uint64_t, Socket> sockets_;  // by cookie
  std::vector<Resent> resent_;
  std::vector<NeverLeft> never_left_;
};

}  // namespace fieldline::analysis
