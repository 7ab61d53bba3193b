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
#include <tuple>
#include <unordered_map>
#include <vector>

#include "base/run_id.h"
#include "base/sock_diag.h"
#include "proto/flow.h"
#include "proto/magnet.h"

namespace fieldline::capture {

using Runs = std::vector<RunId>;  // sorted

// An entry of the flow table and the runs that hold it.
struct HostFlow {
  fl_flow_key key{}, mask{};
  Runs runs;
};

struct HostSocket {
  DiagSocket socket;
  Runs runs;
  std::optional<std::uint32_t> sent;  // TCP: a sequence of ours, seen of late
  bool closed = false;
};

class HostSockets {
 public:
  static constexpr std::size_t kMost = 65536;   // sockets of no run are forgotten past that
  static constexpr std::size_t kClosed = 4096;  // closed ones that are remembered for late records

  // `by_flow`: the source gives nothing but records of these flows (it compared addresses itself),
  // so that a record of no known socket may join by its ports alone.
  explicit HostSockets(bool by_flow) : by_flow_(by_flow) {}

  void set_by_flow(bool by_flow) { by_flow_ = by_flow; }
  void set_flows(std::vector<HostFlow> flows);
  void learn(const DiagSocket& socket);
  void close(std::uint64_t cookie);

  enum class Verdict { theirs, others, unknown, ask };
  struct Joined {
    Verdict verdict = Verdict::unknown;
    const Runs* runs = nullptr;  // theirs: at least one
  };
  // ask: its cookie is not known; learn() what sock_diag says and ask again with `asked`.
  Joined join(const magnet_record_ext& record, bool has_extension, bool asked);

  // Open TCP sockets that belong to a run.
  std::vector<const HostSocket*> sampled() const;
  std::size_t size() const { return sockets_.size(); }

 private:
  using Ports = std::tuple<std::uint8_t, std::uint16_t, std::uint16_t>;  // protocol, local, peer

  Runs runs_of(const DiagSocket& socket) const;
  Joined by_ports(const Ports& ports, const magnet_record_ext& record);
  Joined by_flow_ports(const Ports& ports) const;
  void make_room();
  void forget(std::uint64_t cookie);

  bool by_flow_;
  std::vector<HostFlow> flows_;
  std::unordered_map<std::uint64_t, HostSocket> sockets_;  // by cookie
  std::multimap<Ports, std::uint64_t> ports_;
  std::vector<std::uint64_t> closed_;
};

}  // namespace fieldline::capture
