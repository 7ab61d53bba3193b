// SPDX-License-Identifier: Apache-2.0
// The host that has the flow, where triggers are sent from: this one, or another (cli/via.h).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "cli/sender.h"
#include "cli/sockets.h"

namespace fieldline::cli {

// May be called from any thread.
class FlowHost {
 public:
  virtual ~FlowHost() = default;
  // getaddrinfo; family: AF_UNSPEC, AF_INET or AF_INET6.
  virtual Result<std::vector<Address>> resolve(const std::string& host, int family) = 0;
  // The user's connected sockets to these (root: everybody's), but for the asker's own, each with
  // its owner where that can be told.
  virtual Result<std::vector<Socket>> sockets_to(const std::vector<Address>& remotes) = 0;
  // The address that the kernel would send from.
  virtual Result<Address> source_address(const Address& remote) = 0;
  virtual Result<std::unique_ptr<TriggerSender>> open_sender(const Address& local,
                                                             const Address& remote,
                                                             const SenderOptions& options) = 0;
};

std::shared_ptr<FlowHost> local_flow_host();

}  // namespace fieldline::cli
