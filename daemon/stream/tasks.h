// SPDX-License-Identifier: Apache-2.0
// What coroutines of one thread wait on, and who owns them. Nothing of stream/ is spawned outside
// of a group.
#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace fieldline::stream {

// Errors are expected values, not exceptions.
constexpr auto kTuple = boost::asio::as_tuple(boost::asio::use_awaitable);

using TimePoint = std::chrono::steady_clock::time_point;
inline TimePoint after(std::uint64_t ns) {
  // A century is for ever, and does not overflow the clock.
  constexpr std::uint64_t most = 3'000'000'000'000'000'000;
  return std::chrono::steady_clock::now() + std::chrono::nanoseconds(ns < most ? ns : most);
}
inline bool passed(TimePoint when) {
  return std::chrono::steady_clock::now() >= when;
}

// A condition variable of one thread and one waiter: whoever changes the state calls notify(), and
// the waiter looks at the state again. A notify() without a waiter is not remembered, so look
// before waiting.
class Condition {
 public:
  explicit Condition(boost::asio::any_io_executor executor) : timer_(std::move(executor)) {}
  void notify() { timer_.cancel(); }
  boost::asio::awaitable<void> wait() { return wait_until(TimePoint::max()); }
  boost::asio::awaitable<void> wait_until(TimePoint when);

 private:
  boost::asio::steady_timer timer_;
};

// Counts coroutines that run to their end by themselves once told to (their sockets are closed,
// their conditions notified). A task keeps what it uses alive; the group may go away before its
// tasks.
class TaskGroup {
 public:
  explicit TaskGroup(boost::asio::any_io_executor executor);
  // on_end: with the exception that ended the task, or nullptr.
  void spawn(boost::asio::awaitable<void> task, std::function<void(std::exception_ptr)> on_end);
  std::size_t running() const { return inner_->running; }
  // Until no task runs; false if time ran out.
  boost::asio::awaitable<bool> wait(std::uint64_t timeout_ns);

 private:
  struct Inner {
    explicit Inner(boost::asio::any_io_executor executor) : ended(std::move(executor)) {}
    std::size_t running = 0;
    Condition ended;
  };
  boost::asio::any_io_executor executor_;
  std::shared_ptr<Inner> inner_;
};

}  // namespace fieldline::stream
