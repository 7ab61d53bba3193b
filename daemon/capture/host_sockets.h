// SPDX-License-Identifier: Apache-2.0
// Which event record belongs to which run. The truth is the flow: addresses and ports with masks,
// as the grant gave them. A socket's cookie stands for its flow once its addresses are known (from
// sock_diag, or from a SOCK_OPEN record); a record without a cookie joins by its ports, and by
// sequence where ports alone do not tell. What cannot be told is nobody's, and counted: a run never
// gets what may be another's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/sock_diag.h"
#include "capture/host_flows.h"
#include "capture/host_strangers.h"
#include "proto/magnet.h"

namespace fieldline::capture {

struct HostSocket {
  DiagSocket socket;
  Runs runs;
  std::optional<std::uint32_t> sent;  // TCP: a sequence of ours, seen of late
  bool closed = false;
  // UDP may have had another peer before, and have another one after it.
  std::uint64_t from_ns = 0, to_ns = UINT64_MAX;
  std::uint64_t tag = 0;      // of its addresses
  std::optional<bool> alone;  // no flow of other runs has packets with these ports
};

class HostSockets {
 public:
  static constexpr std::size_t kMost = 65536;   // sockets; past that those of no run are forgotten
  static constexpr std::size_t kClosed = 4096;  // closed ones that are remembered for late records

  // `by_flow`: the source gives nothing but records of these flows (it compared addresses itself),
  // so that a record of no known socket may join by its ports alone.
  explicit HostSockets(bool by_flow) : by_flow_(by_flow) {}

  void set_by_flow(bool by_flow) { by_flow_ = by_flow; }
  void set_flows(std::vector<HostFlow> flows);
  // A socket of this namespace. `at_ns`: it has this peer since then, if that is known.
  void learn(const DiagSocket& socket, std::uint64_t at_ns = 0);
  void close(std::uint64_t cookie, std::uint64_t at_ns = UINT64_MAX);
  // What was known of the cookie does not hold any more.
  void forget(std::uint64_t cookie);
  // It has addresses of no run, whoever's it is.
  void pass_over(std::uint64_t cookie, std::uint64_t at_ns);
  bool is_of_run(const DiagSocket& socket) const { return !runs_of(socket).empty(); }
  bool has(const DiagSocket& socket) const;

  enum class Verdict { theirs, others, unknown, ask };
  struct Joined {
    Verdict verdict = Verdict::unknown;
    const Runs* runs = nullptr;  // theirs: at least one
  };
  // ask: its cookie is not known; learn() what sock_diag says and ask again with `asked`.
  // `tag`: fl_event_tag() of a packet's addresses; 0: they are not known.
  Joined join(const magnet_record_ext& record, bool has_extension, bool asked,
              std::uint64_t tag = 0);

  // Open TCP sockets that belong to a run.
  std::vector<const HostSocket*> sampled() const;
  std::size_t size() const { return sockets_.size(); }
  std::uint64_t refused() const { return refused_; }  // no room for a socket

 private:
  Runs runs_of(const DiagSocket& socket) const;
  Joined by_cookie(HostSocket& socket, const magnet_record_ext& record, bool has_extension,
                   std::uint64_t tag);
  bool is_alone(HostSocket& socket) const;
  Joined by_ports(const Ports& ports, const magnet_record_ext& record, std::uint64_t tag);
  Joined by_flow_ports(const Ports& ports, std::uint64_t tag);
  bool make_room();

  bool by_flow_;
  HostFlows flows_;
  std::unordered_map<std::uint64_t, HostSocket> sockets_;  // by cookie
  std::multimap<Ports, std::uint64_t> ports_;
  std::vector<std::uint64_t> closed_;
  std::size_t idle_ = 0;  // sockets of no run
  std::uint64_t refused_ = 0;
  Strangers strangers_;  // sock_diag does not know them
  Strangers others_;     // opened with addresses of no run
};

}  // namespace fieldline::capture
