// SPDX-License-Identifier: Apache-2.0
// The flows of the runs that are on: addresses and ports with masks, as the grants gave them.
#pragma once

#include <cstdint>
#include <tuple>
#include <vector>

#include "base/run_id.h"
#include "base/sock_diag.h"
#include "proto/flow.h"

namespace fieldline::capture {

using Runs = std::vector<RunId>;                                       // sorted
using Ports = std::tuple<std::uint8_t, std::uint16_t, std::uint16_t>;  // protocol, local, peer

// An entry of the flow table and the runs that hold it.
struct HostFlow {
  fl_flow_key key{}, mask{};
  Runs runs;  // sorted

  bool operator==(const HostFlow& other) const;
};

// fl_event_tag() of a socket.
std::uint64_t tag_of(const DiagSocket& socket);

class HostFlows {
 public:
  // False: they are as they were.
  bool set(std::vector<HostFlow> flows);

  // Of a socket that has a peer: the runs of each flow that it is in.
  Runs runs_of(const DiagSocket& socket) const;
  // The runs of the flows that have these ports and, as far as the tag tells, these addresses. Null
  // if there is none, or if it cannot be told which of several runs' it is. Until the next call.
  const Runs* by_ports(const Ports& ports, std::uint64_t tag);
  // No flow of runs that are not among these has packets with this socket's ports.
  bool is_alone(const DiagSocket& socket, const Runs& runs) const;

 private:
  std::vector<HostFlow> flows_;
  Runs found_;
};

}  // namespace fieldline::capture
