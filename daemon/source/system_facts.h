// SPDX-License-Identifier: Apache-2.0
// What of a host's settings bears on what its sockets and ports do: kept with each run, so that it
// can be judged, and compared with another, when the host has long been changed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "source/clock_facts.h"

namespace fieldline::source {

struct InterfaceFacts {
  std::string name, driver;
  std::uint64_t mtu = 0, queue_length = 0;
  std::optional<std::uint64_t> speed_mbps;  // none: the kernel does not know
  std::map<std::string, bool> offloads;     // tso, gso, gro, rx-checksum, ...
};

struct SystemFacts {
  std::string kernel;                          // release
  std::map<std::string, std::string> sysctls;  // as sysctl names them, white space made one blank
  std::vector<InterfaceFacts> interfaces;
  ClockFacts clock;
};

// What cannot be read is left out. Takes well under a millisecond, and never waits.
SystemFacts read_system_facts(const std::vector<std::string>& interfaces);

}  // namespace fieldline::source
