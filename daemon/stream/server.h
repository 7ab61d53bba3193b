// SPDX-License-Identifier: Apache-2.0
// The archive's end of every stream. It knows frames, TLS and who may speak; what is done with
// items and requests is the backend's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <nlohmann/json.hpp>

#include "base/result.h"
#include "base/run_id.h"
#include "stream/frame.h"
#include "stream/identity.h"

namespace fieldline::stream {

struct ProducerHello {
  Fingerprint key{};
  RunId session;
  std::string name, domain;
  std::optional<RunProof> proof = std::nullopt;  // of an application
};

// An answer under way: pcapng bytes piece by piece, then a result.
class Answer {
 public:
  virtual ~Answer() = default;
  // The next piece; an empty one means "nothing now, ask again after on_more was called" for a
  // followed run; no value means complete. An empty piece that comes first is passed on: the reader
  // then knows that its request stands.
  virtual Result<std::optional<Bytes>> next() = 0;
  virtual nlohmann::json result() = 0;  // what the END frame says
};

// Owned here, implemented by app over archive. All calls come from the executor's thread.
class Backend {
 public:
  virtual ~Backend() = default;
  // May it produce? Asked before open_session(), and again by Server::recheck().
  virtual Result<void> admit(const ProducerHello& hello) = 0;
  // The last item number that is safely on disk (0: none). Called again for an open session when
  // its producer has reconnected.
  virtual Result<std::uint64_t> open_session(const ProducerHello& hello) = 0;
  // Items below or at the last number seen are ignored by the backend (sent twice after a
  // reconnect).
  virtual Result<void> store(const RunId& session, const Frame& frame, const Item& item) = 0;
  virtual void status(const RunId& session, const nlohmann::json& status) = 0;
  // Its connection ended, and no other took its place.
  virtual void close_session(const RunId& session) = 0;
  // Makes everything stored so far durable; the last item number on disk per call of `safe`. After
  // an error nothing is acknowledged and every producer is sent away, to return and resume from
  // what open_session() says.
  virtual Result<void> sync(
      const std::function<void(const RunId& session, std::uint64_t sequence)>& safe) = 0;
  // Who is this? exporter: of this connection; auth: {"signature": armored SSHSIG}, a string. The
  // principal, or a refusal. Asked again by Server::recheck().
  virtual Result<std::string> authenticate(ByteView exporter, const nlohmann::json& auth) = 0;
  // on_more: to be called (executor's thread) when a followed answer has more; harmless after the
  // answer's end.
  virtual Result<std::unique_ptr<Answer>> request(const std::string& principal,
                                                  const nlohmann::json& request,
                                                  std::function<void()> on_more) = 0;
};

struct ServerOptions {
  std::string address = "::";
  std::uint16_t port = FL_STREAM_PORT;          // 0: any
  std::uint64_t sync_interval_ns = 20'000'000;  // group commit
  // A quarter of them at most for those who have not shown yet who they are: when more come, the
  // one that waited longest is closed.
  unsigned max_connections = 256;
  std::string name = "archive";                         // for the hello
  std::uint64_t handshake_timeout_ns = 10'000'000'000;  // for TLS, and again for the hello
  std::uint64_t auth_timeout_ns = 60'000'000'000;       // a reader's key may wait for a touch
};

struct ServerCounters {
  std::uint64_t connections = 0, refused_keys = 0, refused_readers = 0, bad_frames = 0,
                unknown_frames = 0;
  std::uint64_t tls_failures = 0, over_limit = 0;
  std::uint64_t hello_timeouts = 0;  // also of readers that did not authenticate in time
  std::uint64_t refused_versions = 0, sync_errors = 0, store_errors = 0;
  std::uint64_t faults = 0;  // sessions ended by an exception
};

// All calls come from the executor's thread, which is one; the backend outlives the server.
class Server {
 public:
  static Result<std::unique_ptr<Server>> listen(boost::asio::any_io_executor executor,
                                                const ServerOptions& options,
                                                const Identity& identity, Backend& backend);
  virtual ~Server() = default;
  virtual std::uint16_t port() const = 0;
  virtual ServerCounters counters() const = 0;
  // The backend trusts others than before: whoever it does not admit any more is told so and sent
  // away.
  virtual void recheck() = 0;
  // Last sync, last acknowledgements, then closes every connection. The server must outlive it.
  // Without it, destruction closes every connection at once; producers resend what was not
  // acknowledged.
  virtual boost::asio::awaitable<void> close() = 0;
};

}  // namespace fieldline::stream
