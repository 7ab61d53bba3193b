// SPDX-License-Identifier: Apache-2.0
#include "stream/connection.h"

#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <vector>

#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/write.hpp>

namespace fieldline::stream {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;

Connection::Connection(asio::any_io_executor executor, std::shared_ptr<ssl::context> context)
    : context_(std::move(context)), stream_(Tcp::socket(executor), *context_), timer_(executor) {}

Connection::Connection(Tcp::socket socket, std::shared_ptr<ssl::context> context)
    : context_(std::move(context)),
      stream_(std::move(socket), *context_),
      timer_(stream_.get_executor()) {}

asio::awaitable<Result<void>> Connection::connect(std::string host, std::uint16_t port,
                                                  std::uint64_t timeout_ns) {
  std::vector<Tcp::endpoint> endpoints;
  boost::system::error_code numeric;
  auto address = asio::ip::make_address(host, numeric);
  if (!numeric) {
    endpoints.emplace_back(address, port);
  } else {
    // getaddrinfo cannot be interrupted; it has its own time limit.
    Tcp::resolver resolver(stream_.get_executor());
    std::string service = std::to_string(port);
    auto [error, found] = co_await resolver.async_resolve(host, service, kTuple);
    if (error) {
      co_return fail(Code::not_found, "no address for the name " + host + ": " + error.message());
    }
    for (const auto& entry : found) endpoints.push_back(entry.endpoint());
  }
  Error last = fail(Code::not_found, "no address for the name " + host);
  for (const auto& endpoint : endpoints) {
    if (closed_) co_return fail(Code::closed, "stopped");
    expired_ = false;
    limit(timeout_ns / endpoints.size());
    auto& socket = stream_.next_layer();
    auto [error] = co_await socket.async_connect(endpoint, kTuple);
    if (!error && is_open()) co_return Result<void>();
    last = error_of(
        error, "connecting to " + endpoint.address().to_string() + " port " + std::to_string(port));
    boost::system::error_code ignored;
    socket.close(ignored);
  }
  co_return last;
}

asio::awaitable<Result<void>> Connection::dial(std::string host, std::uint16_t port,
                                               Fingerprint pin, std::uint64_t timeout_ns) {
  auto connected = co_await connect(host, port, timeout_ns);
  if (!connected) co_return connected;
  std::string name = host + " port " + std::to_string(port);
  boost::system::error_code ignored;
  stream_.next_layer().set_option(Tcp::no_delay(true), ignored);
  limit(timeout_ns);
  auto [error] = co_await stream_.async_handshake(ssl::stream_base::client, kTuple);
  if (error) co_return error_of(error, "TLS handshake with " + name);
  Fingerprint shown = peer();
  if (shown != pin) {
    close();
    co_return fail(Code::denied, "the archive at " + name + " has the key " + to_string(shown) +
                                     ", but " + to_string(pin) +
                                     " is pinned; nothing was sent. If its key was changed on "
                                     "purpose, pin the new one");
  }
  unlimit();
  co_return Result<void>();
}

asio::awaitable<Result<void>> Connection::accept_handshake() {
  boost::system::error_code ignored;
  stream_.next_layer().set_option(Tcp::no_delay(true), ignored);
  auto [error] = co_await stream_.async_handshake(ssl::stream_base::server, kTuple);
  if (error) co_return error_of(error, "TLS handshake");
  co_return Result<void>();
}

asio::awaitable<Result<Frame>> Connection::read_frame() {
  for (;;) {
    auto next = frames_.next();
    if (!next) co_return next.error();
    if (*next) co_return **next;
    auto [error, n] = co_await stream_.async_read_some(asio::buffer(chunk_), kTuple);
    if (error) co_return error_of(error, "reading");
    frames_.feed({chunk_.data(), n});
  }
}

asio::awaitable<void> Connection::discard() {
  for (;;) {
    auto [error, n] = co_await stream_.async_read_some(asio::buffer(chunk_), kTuple);
    if (error) co_return;
  }
}

asio::awaitable<Result<void>> Connection::write(ByteView bytes) {
  auto [error, n] =
      co_await asio::async_write(stream_, asio::buffer(bytes.data(), bytes.size()), kTuple);
  if (error) co_return error_of(error, "writing");
  co_return Result<void>();
}

// Without close_notify: an END or ERROR frame says that an answer is whole, not the end of the
// stream.
void Connection::shutdown_send() {
  boost::system::error_code ignored;
  stream_.next_layer().shutdown(Tcp::socket::shutdown_send, ignored);
}

void Connection::limit(std::uint64_t ns) {
  std::uint64_t mine = ++limits_;
  timer_.expires_at(after(ns));
  timer_.async_wait([self = shared_from_this(), mine](boost::system::error_code error) {
    if (error || mine != self->limits_) return;
    self->expired_ = true;
    boost::system::error_code ignored;
    self->stream_.next_layer().close(ignored);
  });
}

void Connection::unlimit() {
  ++limits_;
  timer_.cancel();
}

void Connection::close() {
  closed_ = true;
  unlimit();
  boost::system::error_code ignored;
  stream_.next_layer().close(ignored);
}

void Connection::keep_alive(std::uint64_t user_timeout_ns) {
  boost::system::error_code ignored;
  auto& socket = stream_.next_layer();
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  auto set = [&](int option, int value) {
    // A socket that was reset meanwhile says so to the next read.
    (void)::setsockopt(socket.native_handle(), IPPROTO_TCP, option, &value, sizeof value);
  };
  set(TCP_KEEPIDLE, 10);
  set(TCP_KEEPINTVL, 5);
  set(TCP_KEEPCNT, 3);
  if (user_timeout_ns != 0) set(TCP_USER_TIMEOUT, static_cast<int>(user_timeout_ns / 1'000'000));
}

Error Connection::error_of(const boost::system::error_code& code, const std::string& what) const {
  if (expired_) return fail(Code::timeout, what + ": no answer in time");
  if (closed_) return fail(Code::closed, what + ": closed on this side");
  if (code == asio::error::eof || code == ssl::error::stream_truncated ||
      code == asio::error::connection_reset || code == asio::error::broken_pipe) {
    return fail(Code::closed, what + ": the other end closed the connection");
  }
  return fail(Code::io, what + ": " + code.message());
}

}  // namespace fieldline::stream
