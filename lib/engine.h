// SPDX-License-Identifier: Apache-2.0
// What the library's thread does: pulses when they are due, events as they come, and the run's end.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/clock.h"
#include "cli/run_grant.h"
#include "cli/sender.h"
#include "cli/settings.h"
#include "lib/shared.h"
#include "lib/speaker.h"
#include "stream/producer.h"
#include "stream/tasks.h"

namespace fieldline::lib {

class Engine {
 public:
  // Sends the first pulse. `socket`: the pairs of the run's first event.
  static Result<std::unique_ptr<Engine>> create(std::shared_ptr<Shared> shared, Speaker speaker,
                                                cli::RunGrant grant, cli::Sender sender,
                                                const cli::ArchiveAddress& archive,
                                                std::size_t buffer_bytes, const Pairs& socket);

  // In the thread, until what finish() asked for is done. Never throws.
  void run();

  // From any thread, until run() ends; without memory they are as if they had not been called.
  void collect_soon();
  void tell_soon();
  void finish(std::uint64_t timeout_ns);

 private:
  Engine(std::shared_ptr<Shared> shared, Speaker speaker, cli::RunGrant grant, cli::Sender sender)
      : shared_(std::move(shared)),
        speaker_(std::move(speaker)),
        grant_(std::move(grant)),
        sender_(std::move(sender)) {}
  template <class F>
  void post(F&& f);
  Result<void> send(bool ending);
  void wait_for_pulse();
  void collect();
  bool offer_end();
  bool offer_own(std::string_view name, Pairs pairs);
  void tell();
  boost::asio::awaitable<void> end_run(std::uint64_t timeout_ns);

  std::shared_ptr<Shared> shared_;
  Speaker speaker_;
  cli::RunGrant grant_;
  cli::Sender sender_;
  SystemClock clock_;
  std::uint64_t start_ns_ = 0;  // monotonic
  std::size_t buffer_bytes_ = 0;
  std::uint64_t dropped_ = 0, pulses_ = 0;
  std::uint64_t on_item_ = 0, off_item_ = 0;  // numbers of the library's own events; 0: none
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  boost::asio::steady_timer pulse_{io_};
  stream::Condition delivered_{io_.get_executor()};  // of end_run(): the producer has room
  std::unique_ptr<stream::Producer> producer_;
};

}  // namespace fieldline::lib
