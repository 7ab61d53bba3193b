// SPDX-License-Identifier: Apache-2.0
// What of a host's settings bears on what its sockets and ports do: kept with each run, so that it
// can be judged, and compared with another, when the host has long been changed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "source/clock_facts.h"
#include "source/routes.h"

namespace fieldline::source {

struct InterfaceFacts {
  std::string name, driver;
  std::uint64_t mtu = 0, queue_length = 0;
  std::string qdisc;                        // see read_qdiscs()
  std::optional<std::uint64_t> speed_mbps;  // none: the kernel does not know
  std::map<std::string, bool> offloads;     // tso, gso, gro, rx-checksum, ...
};

struct SystemFacts {
  std::string kernel;                          // release
  std::map<std::string, std::string> sysctls;  // as sysctl names them, white space made one blank
  std::vector<InterfaceFacts> interfaces;
  std::map<std::string, RouteFacts> routes;  // by where they lead to
  ClockFacts clock;
};

// Between which a flow goes.
struct FlowEnds {
  Address a, b;
};

// What cannot be read is left out. Takes well under a millisecond, and never waits. ends: of a flow
// that this host sends or forwards; their routes, and the interfaces that these use, are told too.
SystemFacts read_system_facts(const std::vector<std::string>& interfaces,
                              const std::optional<FlowEnds>& ends);

}  // namespace fieldline::source
