// SPDX-License-Identifier: Apache-2.0
#include "stream/server.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>

#include "stream/session.h"

namespace fieldline::stream {

namespace asio = boost::asio;
using Tcp = asio::ip::tcp;

namespace {

constexpr std::uint64_t kStopTimeout = 5'000'000'000;
constexpr std::uint64_t kAcceptPause = 100'000'000;

Result<Tcp::acceptor> open_acceptor(asio::any_io_executor executor, const ServerOptions& options) {
  std::string where = "listening on " + options.address + " port " + std::to_string(options.port);
  boost::system::error_code error;
  auto address = asio::ip::make_address(options.address, error);
  if (error) {
    return fail(Code::invalid, where + ": not an address; write an IPv4 or IPv6 address");
  }
  Tcp::acceptor acceptor(executor);
  Tcp::endpoint endpoint(address, options.port);
  acceptor.open(endpoint.protocol(), error);
  if (error == asio::error::address_family_not_supported && address.is_v6() &&
      address.is_unspecified()) {
    endpoint = Tcp::endpoint(asio::ip::address_v4::any(), options.port);
    acceptor.open(endpoint.protocol(), error);
  }
  if (!error) acceptor.set_option(Tcp::acceptor::reuse_address(true), error);
  if (!error && endpoint.address().is_v6()) {
    acceptor.set_option(asio::ip::v6_only(false), error);
  }
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error == asio::error::address_in_use) {
    return fail(Code::io, where +
                              ": the port is in use; stop what listens there (see ss -ltnp), or "
                              "choose another port");
  }
  if (error) return fail(Code::io, where + ": " + error.message());
  return acceptor;
}

// What belongs to listening alone; kept by its two coroutines, as the hub is.
struct Listener {
  Listener(Tcp::acceptor acceptor_, std::shared_ptr<asio::ssl::context> context_,
           std::shared_ptr<Hub> hub_)
      : acceptor(std::move(acceptor_)),
        context(std::move(context_)),
        hub(std::move(hub_)),
        tasks(hub->executor),
        pause(hub->executor) {}

  void stop() {
    closing = true;
    boost::system::error_code ignored;
    acceptor.close(ignored);
    pause.notify();
    hub->dirtied.notify();
  }

  Tcp::acceptor acceptor;
  std::shared_ptr<asio::ssl::context> context;
  std::shared_ptr<Hub> hub;
  TaskGroup tasks;
  Condition pause;
  bool closing = false;
};

std::function<void(std::exception_ptr)> count_faults(std::shared_ptr<Hub> hub) {
  return [hub](std::exception_ptr exception) {
    if (exception) ++hub->counters.faults;
  };
}

asio::awaitable<void> accept_loop(std::shared_ptr<Listener> self) {
  Hub& hub = *self->hub;
  while (!self->closing) {
    Tcp::socket socket(hub.executor);
    auto [error] = co_await self->acceptor.async_accept(socket, kTuple);
    if (self->closing) break;
    if (error) {
      // Out of descriptors: the connection waits in the kernel's queue, and would be offered again
      // at once.
      co_await self->pause.wait_until(after(kAcceptPause));
      continue;
    }
    if (!hub.has_room_for_stranger()) {
      ++hub.counters.over_limit;
      continue;
    }
    ++hub.counters.connections;
    auto connection = std::make_shared<Connection>(std::move(socket), self->context);
    hub.tasks.spawn(converse(self->hub, connection), count_faults(self->hub));
  }
}

asio::awaitable<void> sync_loop(std::shared_ptr<Listener> self) {
  Hub& hub = *self->hub;
  while (!self->closing) {
    if (!hub.dirty) {
      co_await hub.dirtied.wait();
      continue;
    }
    TimePoint due = after(hub.options.sync_interval_ns);
    while (!self->closing && !passed(due)) co_await hub.dirtied.wait_until(due);
    if (!self->closing) hub.sync();
  }
}

class TlsServer final : public Server {
 public:
  explicit TlsServer(std::shared_ptr<Listener> listener)
      : listener_(std::move(listener)), hub_(listener_->hub) {
    auto endpoint = listener_->acceptor.local_endpoint();
    port_ = endpoint.port();
    listener_->tasks.spawn(accept_loop(listener_), count_faults(hub_));
    listener_->tasks.spawn(sync_loop(listener_), count_faults(hub_));
  }
  ~TlsServer() override {
    listener_->stop();
    hub_->abandon();
  }

  std::uint16_t port() const override { return port_; }
  ServerCounters counters() const override { return hub_->counters; }
  void recheck() override { hub_->recheck(); }

  // Signal, cancel, wait within bounds, stop.
  asio::awaitable<void> close() override {
    listener_->stop();
    hub_->finish();
    co_await hub_->tasks.wait(kStopTimeout);
    co_await listener_->tasks.wait(kStopTimeout);
    hub_->abandon();
  }

 private:
  std::shared_ptr<Listener> listener_;
  std::shared_ptr<Hub> hub_;
  std::uint16_t port_ = 0;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::listen(asio::any_io_executor executor,
                                               const ServerOptions& options,
                                               const Identity& identity, Backend& backend) {
  auto context = server_context(identity);
  if (!context) return context.error();
  auto acceptor = open_acceptor(executor, options);
  if (!acceptor) return acceptor.error();
  auto hub = std::make_shared<Hub>(executor, options, backend);
  auto listener = std::make_shared<Listener>(std::move(*acceptor), *context, hub);
  return std::unique_ptr<Server>(std::make_unique<TlsServer>(listener));
}

}  // namespace fieldline::stream
