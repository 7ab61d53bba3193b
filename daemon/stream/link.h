// SPDX-License-Identifier: Apache-2.0
// A producer's connection over its life: dial, greet, serve, back off, again.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "stream/connection.h"
#include "stream/link_share.h"
#include "stream/producer.h"
#include "stream/spool.h"
#include "stream/tasks.h"

namespace fieldline::stream {

// Outlives the Producer that made it for as long as its coroutine runs.
class Link : public std::enable_shared_from_this<Link> {
 public:
  Link(boost::asio::any_io_executor executor, ProducerOptions options_, const Identity& identity)
      : options(std::move(options_)),
        spool(options.spool_bytes, disk_of(options)),
        executor_(executor),
        context_(client_context(&identity)),
        tasks_(executor),
        wake_(executor),
        overdue_(executor),
        backoff_(executor),
        drained_(executor),
        random_(options.jitter_seed) {
    if (options.numbered > 0) spool.go_on_behind(options.numbered);
    spool.on_trouble = [this](const Error& error) {
      if (on_spool_trouble) on_spool_trouble(error);
    };
  }

  void start() {
    if (started_ || stopping_) return;
    started_ = true;
    auto ended = [self = shared_from_this()](std::exception_ptr) { self->drained_.notify(); };
    tasks_.spawn(run(shared_from_this()), ended);
  }
  void share_with(std::shared_ptr<LinkShare> share, bool is_rest);
  void stop() {
    leave_share();
    stopping_ = true;
    if (connection_) connection_->close();
    backoff_.notify();
    drained_.notify();
  }
  void send_status(std::string json) {
    status_ = std::move(json);
    wake_.notify();
  }
  void offered() { wake_.notify(); }
  boost::asio::awaitable<bool> drain(std::uint64_t timeout_ns);

  const ProducerOptions options;
  Spool spool;
  LinkState state = LinkState::idle;
  std::string last_error;
  std::uint64_t connects = 0, failures = 0;
  bool kept = false;  // after drain(): what was not acknowledged is on disk
  std::function<void(LinkState)> on_state;
  std::function<void()> on_delivered;
  std::function<void(const Error&)> on_spool_trouble;

 private:
  static boost::asio::awaitable<void> run(std::shared_ptr<Link> self);
  boost::asio::awaitable<void> connect_and_serve();
  boost::asio::awaitable<Result<void>> greet();
  boost::asio::awaitable<void> read();
  boost::asio::awaitable<void> write();
  boost::asio::awaitable<void> watch();
  boost::asio::awaitable<void> back_off();
  std::uint64_t next_delay();
  void delivered();
  static std::unique_ptr<SpoolDisk> disk_of(const ProducerOptions& options);
  Result<void> handle(const Frame& frame);
  void enter(LinkState next);
  void failed(LinkState next, const Error& error);
  void end_connection(LinkState next, const Error& error);
  bool over() const { return stopping_ || over_; }
  bool may_send() const { return !is_rest_ || share_->rest_may_send(); }
  void tell_share(std::size_t sent);
  void leave_share();

  boost::asio::any_io_executor executor_;
  Result<std::shared_ptr<boost::asio::ssl::context>> context_;
  TaskGroup tasks_;
  std::shared_ptr<Connection> connection_;
  std::shared_ptr<LinkShare> share_;  // none: nobody shares the link
  bool is_rest_ = false;
  std::optional<std::string> status_;
  Condition wake_;     // of write(): something to send, or the end
  Condition overdue_;  // of watch(): items began to wait for an acknowledgement, or the end
  Condition backoff_, drained_;
  TimePoint progress_;     // of the last acknowledgement, or when items began to wait for one
  bool waiting_ = false;   // items wait for an acknowledgement
  bool over_ = true;       // the present connection is done for
  bool advanced_ = false;  // the present connection brought an acknowledgement
  bool started_ = false, stopping_ = false;
  unsigned attempts_ = 0;  // since the last acknowledgement
  std::minstd_rand random_;
};

}  // namespace fieldline::stream
