// SPDX-License-Identifier: Apache-2.0
// Where this host sends what goes to an address, and how it queues there, by rtnetlink.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/address.h"
#include "base/result.h"

namespace fieldline::source {

struct RouteFacts {
  std::string device, gateway, source;  // gateway: empty if the address is on the link itself
  // What the route sets for itself, and what was learned of its MTU; the rest is the host's.
  std::map<std::string, std::uint64_t> metrics;  // mtu, initcwnd, rto_min, ...
  std::string congestion_control;
};

// As the kernel would send from `from`, where that is an address of this host. No value: `to` is
// this host's own. Of several next hops for one address the kernel names one: which of them a flow
// takes is by its ports.
Result<std::optional<RouteFacts>> read_route(const Address& to, const Address& from);

// By the interface's index: "fq", or "mq, 8 fq": the root, and how many of what are below it. Those
// of packets that come in, clsact too, queue nothing.
Result<std::map<int, std::string>> read_qdiscs();

}  // namespace fieldline::source
