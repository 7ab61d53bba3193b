// SPDX-License-Identifier: Apache-2.0
// What mkmagnet, magnet-read and magnet-parse have in common.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/exit_code.h"

namespace fieldline::cli {

// "magnet-read: what", one line, on stderr.
void say(const char* tool, const std::string& what);
// The same for an error, with the exit code that fits it.
int fail_tool(const char* tool, const Error& error);

// "4096", "64K", "256M", "2G" (powers of 1024), a B or iB behind it or not.
Result<std::uint64_t> parse_size(const std::string& text);

// A descriptor that is written in large pieces. Once the reader of a pipe has gone, writing fails
// with Code::closed, which is no error of ours.
class Output {
 public:
  explicit Output(int fd) : fd_(fd) {}
  Result<void> write(std::string_view text);
  Result<void> flush();

 private:
  static constexpr std::size_t kPiece = 1 << 16;
  int fd_;
  std::string held_;
};

// One line on standard output; the exit code that fits what became of it.
int print_result(const char* tool, const std::string& line);

}  // namespace fieldline::cli
