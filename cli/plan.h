// SPDX-License-Identifier: Apache-2.0
// What to ask for: from sockets or from --flow, the grants that are needed, one run each.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "cli/flow_spec.h"
#include "cli/sockets.h"
#include "sense/trigger.h"

namespace fieldline::cli {

// One grant's flows: two hosts, one protocol, up to FL_GRANT_PAIRS_MAX port pairs.
struct Plan {
  std::uint8_t protocol = 0;
  Address local, remote;                        // between which triggers travel
  std::optional<Prefix> local_net, remote_net;  // if more than these hosts is asked for
  std::vector<sense::PortPair> pairs;           // a: local port
  std::uint8_t traffic_class = 0;   // the flow's DSCP, if all of its sockets agree; no ECN bits
  std::vector<std::string> notes;   // what was widened, and why
  std::vector<std::string> owners;  // "4121 gridftp", each once

  Prefix host_a() const { return local_net.value_or(Prefix{local, 128}); }
  Prefix host_b() const { return remote_net.value_or(Prefix{remote, 128}); }
  bool covers(const DiagSocket& socket) const;
  std::string to_string() const;  // "8 tcp flows 10.0.0.1 - 10.0.3.2"
};

// Sockets that no plan of `known` covers, grouped by hosts and protocol. More than 32 pairs of a
// group become any-port for the port that most of them share.
std::vector<Plan> plan_sockets(const std::vector<Socket>& sockets, const std::vector<Plan>& known);

// The address that the kernel would send from.
Result<Address> source_address(const Address& remote);
// The same of the flow's host, which may be another.
using AskSource = std::function<Result<Address>(const Address& remote)>;

// remotes: the host's addresses, the preferred one first. source: --source. "Any local port to x"
// and "y to any remote port" overlap in part: they get a plan each, because a sensor's kernel
// cannot count for one run what two of its flows may match.
Result<std::vector<Plan>> plan_flows(const std::vector<FlowSpec>& specs,
                                     const std::vector<Address>& remotes,
                                     std::optional<Address> source,
                                     const AskSource& ask_source = source_address);

// At most 32 pairs that cover all of these, none within another; says in notes what was widened.
// {0, x} and {y, 0} overlap in part: if none of `pairs` cross like this, none of these do.
std::vector<sense::PortPair> condense(std::vector<sense::PortPair> pairs,
                                      std::vector<std::string>& notes);

// getaddrinfo; family: AF_UNSPEC, AF_INET or AF_INET6.
Result<std::vector<Address>> resolve(const std::string& host, int family);

}  // namespace fieldline::cli
