// SPDX-License-Identifier: Apache-2.0
// Sends triggers along the flow's own path: from the flow's source to its destination, with its
// DSCP.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/fd.h"
#include "base/result.h"
#include "proto/trigger.h"

namespace fieldline::cli {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
  Address address() const;
  std::uint16_t port() const;
};
SocketAddress socket_address(const Address& address, std::uint16_t port);

struct SenderOptions {
  bool icmp = false;  // echo requests instead of UDP; the reply switches on the return path
  std::uint16_t port = FL_TRIGGER_PORT;
  std::uint8_t traffic_class = 0;
  // So many source ports, each trigger from each: routers that choose among paths of equal cost by
  // ports then put it on all of them. UDP alone.
  unsigned spray = 1;
};

class TriggerSender {
 public:
  virtual ~TriggerSender() = default;
  // closed: none can be sent any more.
  virtual Result<void> send(ByteView trigger) = 0;
};

class Sender final : public TriggerSender {
 public:
  static Result<Sender> open(const Address& local, const Address& remote,
                             const SenderOptions& options);
  Result<void> send(ByteView trigger) override;

 private:
  Sender() = default;
  Bytes echo_request(ByteView trigger);

  std::vector<Fd> fds_;
  SocketAddress to_;
  bool icmp_ = false;
  std::uint16_t echo_id_ = 0, echo_sequence_ = 0;
};

}  // namespace fieldline::cli
