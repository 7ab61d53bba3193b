// SPDX-License-Identifier: Apache-2.0
// Log lines that strangers cause: so many a second, the rest counted.
#pragma once

#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdint>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

namespace fieldline::app {

class BoundedLog {
 public:
  explicit BoundedLog(boost::asio::io_context& io) : second_(io) {}

  void warn(const std::string& line) {
    if (lines_ == 0) begin_second();
    if (++lines_ <= kLinesPerSecond) spdlog::warn("{}", line);
  }

 private:
  static constexpr std::uint64_t kLinesPerSecond = 20;

  void begin_second() {
    second_.expires_after(std::chrono::seconds(1));
    second_.async_wait([this](boost::system::error_code error) {
      if (error) return;
      if (lines_ > kLinesPerSecond)
        spdlog::warn("{} further refusals in the last second, counted only",
                     lines_ - kLinesPerSecond);
      lines_ = 0;
    });
  }

  boost::asio::steady_timer second_;
  std::uint64_t lines_ = 0;  // of the second that runs
};

}  // namespace fieldline::app
