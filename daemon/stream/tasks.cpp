// SPDX-License-Identifier: Apache-2.0
#include "stream/tasks.h"

#include <boost/asio/co_spawn.hpp>

namespace fieldline::stream {

namespace asio = boost::asio;

asio::awaitable<void> Condition::wait_until(TimePoint when) {
  timer_.expires_at(when);
  co_await timer_.async_wait(kTuple);
}

TaskGroup::TaskGroup(asio::any_io_executor executor)
    : executor_(executor), inner_(std::make_shared<Inner>(executor)) {}

void TaskGroup::spawn(asio::awaitable<void> task, std::function<void(std::exception_ptr)> on_end) {
  ++inner_->running;
  auto ended = [inner = inner_, on_end = std::move(on_end)](std::exception_ptr exception) {
    --inner->running;
    on_end(exception);
    inner->ended.notify();
  };
  asio::co_spawn(executor_, std::move(task), std::move(ended));
}

asio::awaitable<bool> TaskGroup::wait(std::uint64_t timeout_ns) {
  std::shared_ptr<Inner> inner = inner_;
  TimePoint deadline = after(timeout_ns);
  while (inner->running != 0 && !passed(deadline)) co_await inner->ended.wait_until(deadline);
  co_return inner->running == 0;
}

}  // namespace fieldline::stream
