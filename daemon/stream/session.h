// SPDX-License-Identifier: Apache-2.0
// One conversation at the archive's end, and the hub that all of them share. A session is two
// coroutines: read() alone takes from the connection, write() alone puts into it; either ends the
// other by finish().
#pragma once

#include <array>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "stream/connection.h"
#include "stream/server.h"
#include "stream/tasks.h"

namespace fieldline::stream {

class Session;
class ProducerSession;

// Outlives the server for as long as coroutines run; then `stopped` is set and the backend is not
// called any more.
struct Hub {
  Hub(boost::asio::any_io_executor executor_, ServerOptions options_, Backend& backend_)
      : executor(executor_),
        options(std::move(options_)),
        backend(backend_),
        tasks(executor_),
        dirtied(executor_) {}

  void mark_dirty() {
    if (!dirty) dirtied.notify();
    dirty = true;
  }
  void sync();
  // Takes nothing more in, syncs, and lets every session say its last.
  void finish();
  // The backend may go away after this.
  void abandon();
  void recheck();
  // For one more that has not shown who it is; closes another if it must.
  bool has_room_for_stranger();

  boost::asio::any_io_executor executor;
  const ServerOptions options;
  Backend& backend;
  ServerCounters counters;
  TaskGroup tasks;
  std::set<Connection*> connections;  // those of sessions and those not that far
  std::list<Connection*> strangers;   // those not that far, by arrival
  std::set<Session*> sessions;
  std::map<RunId, ProducerSession*> producers;
  bool dirty = false;  // items are stored and not synced
  Condition dirtied;
  bool stopped = false;
};

// A connection's place in the hub.
class Registration {
 public:
  Registration(Hub& hub, Connection& connection) : hub_(hub), connection_(connection) {
    hub_.connections.insert(&connection_);
    hub_.strangers.push_back(&connection_);
  }
  // The backend knows who it is.
  void introduced() { hub_.strangers.remove(&connection_); }
  // However the conversation ends, by an exception too, the socket does not outlive it: the time
  // limit keeps the connection, and would keep the descriptor where nobody counts it.
  ~Registration() {
    introduced();
    hub_.connections.erase(&connection_);
    connection_.close();
  }
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;

 private:
  Hub& hub_;
  Connection& connection_;
};

class Session {
 public:
  Session(std::shared_ptr<Hub> hub, std::shared_ptr<Connection> connection);
  virtual ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // The first frame under the limit that is set, then both coroutines without one, to the end of
  // both.
  boost::asio::awaitable<void> run(Bytes greeting);
  // No more is taken in; what is due goes out, then `why` as an ERROR, then the connection ends.
  // Bounded in time.
  void finish(std::optional<Error> why = std::nullopt);
  // How this session ends when the archive does.
  virtual void shut_down() { finish(); }
  // Lets go of what the backend gave.
  virtual void abandon() {}
  // Does the backend still know the other end for what it was?
  virtual Result<void> recheck() = 0;
  Connection& connection() { return *connection_; }

 protected:
  virtual void handle(const Frame& frame) = 0;
  // Writes what is due; false: nothing to do until wake_.
  virtual boost::asio::awaitable<bool> write_due() = 0;

  bool over() const { return finished_ || hub_->stopped; }
  void bad_frame(const Error& error);

  std::shared_ptr<Hub> hub_;
  std::shared_ptr<Connection> connection_;
  Condition wake_;

 private:
  boost::asio::awaitable<void> read();
  boost::asio::awaitable<void> write();

  bool finished_ = false;
  std::optional<Error> why_;
};

class ProducerSession final : public Session {
 public:
  // After Backend::open_session; takes the place of an earlier connection of the session.
  ProducerSession(std::shared_ptr<Hub> hub, std::shared_ptr<Connection> connection,
                  ProducerHello hello);
  ~ProducerSession() override;

  const Fingerprint& key() const { return hello_.key; }
  Result<void> recheck() override { return hub_->backend.admit(hello_); }
  void acknowledge(std::uint64_t sequence);

 private:
  void handle(const Frame& frame) override;
  boost::asio::awaitable<bool> write_due() override;
  void store(const Frame& frame);

  ProducerHello hello_;
  std::optional<std::uint64_t> ack_;  // the newest replaces
};

// What a reader showed, kept so that it can be judged again.
struct ReaderProof {
  std::array<std::uint8_t, 32> exporter{};
  nlohmann::json auth;
  std::string principal;
};

class ReaderSession final : public Session, public std::enable_shared_from_this<ReaderSession> {
 public:
  ReaderSession(std::shared_ptr<Hub> hub, std::shared_ptr<Connection> connection,
                ReaderProof proof);
  void shut_down() override;
  void abandon() override { answer_.reset(); }
  Result<void> recheck() override;

 private:
  void handle(const Frame& frame) override;
  boost::asio::awaitable<bool> write_due() override;
  Result<std::unique_ptr<Answer>> ask(const nlohmann::json& request);
  boost::asio::awaitable<void> serve();
  boost::asio::awaitable<void> give_up(Error error);
  boost::asio::awaitable<bool> send(ByteView bytes);
  boost::asio::awaitable<bool> send_piece(ByteView piece);

  const ReaderProof proof_;
  std::deque<nlohmann::json> requests_;
  std::unique_ptr<Answer> answer_;  // under way
  bool more_ = false;               // it may have more
};

// A connection from its first byte to its last: handshake, hello, then a session of its role.
boost::asio::awaitable<void> converse(std::shared_ptr<Hub> hub,
                                      std::shared_ptr<Connection> connection);

}  // namespace fieldline::stream
