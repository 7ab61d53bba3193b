// SPDX-License-Identifier: Apache-2.0
// One thread for what may block: opening devices, listing sockets, verifying signatures.
#pragma once

#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

namespace fieldline::app {

// Jobs run one after the other, and what came of each is handed on by the io thread in their order.
// A job owns what it works on: it may be the last to hold it. Destruction waits for every job; what
// they would have been followed by is not called once the io thread has ended.
class Worker {
 public:
  explicit Worker(boost::asio::io_context& io) : io_(io) {}
  ~Worker() { pool_.join(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // then(job())
  template <class Job, class Then>
  void run(Job job, Then then) {
    boost::asio::post(pool_, [this, job = std::move(job), then = std::move(then)]() mutable {
      boost::asio::post(
          io_, [result = job(), then = std::move(then)]() mutable { then(std::move(result)); });
    });
  }

 private:
  boost::asio::io_context& io_;
  boost::asio::thread_pool pool_{1};
};

}  // namespace fieldline::app
