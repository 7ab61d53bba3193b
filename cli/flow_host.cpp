// SPDX-License-Identifier: Apache-2.0
#include "cli/flow_host.h"

#include <unistd.h>

#include "cli/plan.h"

namespace fieldline::cli {

namespace {

class LocalFlowHost final : public FlowHost {
 public:
  Result<std::vector<Address>> resolve(const std::string& host, int family) override {
    return cli::resolve(host, family);
  }
  // The asker's own connections are no flows of the user: an archive may stand on the host itself.
  Result<std::vector<Socket>> sockets_to(const std::vector<Address>& remotes) override {
    auto sockets = find_sockets(remotes, ::geteuid());
    if (!sockets) return sockets.error();
    name_owners(*sockets);
    const std::string self = std::to_string(::getpid()) + " ";
    std::erase_if(*sockets, [&](const Socket& socket) { return socket.owner.starts_with(self); });
    return sockets;
  }
  Result<Address> source_address(const Address& remote) override {
    return cli::source_address(remote);
  }
  Result<std::unique_ptr<TriggerSender>> open_sender(const Address& local, const Address& remote,
                                                     const SenderOptions& options) override {
    auto sender = Sender::open(local, remote, options);
    if (!sender) return sender.error();
    return std::unique_ptr<TriggerSender>(std::make_unique<Sender>(std::move(*sender)));
  }
};

}  // namespace

std::shared_ptr<FlowHost> local_flow_host() {
  return std::make_shared<LocalFlowHost>();
}

}  // namespace fieldline::cli
