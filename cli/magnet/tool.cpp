// SPDX-License-Identifier: Apache-2.0
#include "cli/magnet/tool.h"

#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>

#include "base/text.h"

namespace fieldline::cli {

void say(const char* tool, const std::string& what) {
  std::fprintf(stderr, "%s: %s\n", tool, printable(what).c_str());
}

int fail_tool(const char* tool, const Error& error) {
  say(tool, error.text());
  return error.code == Code::denied ? kDenied : kFailure;
}

Result<std::uint64_t> parse_size(const std::string& text) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  auto [at, error] = std::from_chars(text.data(), end, number);
  std::string unit(at, end);
  if (unit.size() > 1 && unit.ends_with('B')) unit.pop_back();
  if (unit.size() > 1 && unit.ends_with('i')) unit.pop_back();
  int shift = -1;
  if (unit.empty() || unit == "B") shift = 0;
  if (unit == "K" || unit == "k") shift = 10;
  if (unit == "M") shift = 20;
  if (unit == "G") shift = 30;
  if (unit == "T") shift = 40;
  constexpr std::uint64_t kMost = std::uint64_t{1} << 62;
  if (error != std::errc() || shift < 0 || number > kMost >> shift)
    return fail(Code::invalid, "'" + text + "' is not a size; write 64K, 256M or 2G");
  return number << shift;
}

Result<void> Output::write(std::string_view text) {
  held_ += text;
  return held_.size() < kPiece ? Result<void>() : flush();
}

Result<void> Output::flush() {
  std::string_view rest = held_;
  while (!rest.empty()) {
    const ssize_t n = ::write(fd_, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EPIPE) return fail(Code::closed, "the reader of the output went away");
    if (n < 0) return fail_errno("writing the output");
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  held_.clear();
  return {};
}

int print_result(const char* tool, const std::string& line) {
  Output output(STDOUT_FILENO);
  auto written = output.write(line + "\n");
  if (written) written = output.flush();
  if (written || written.error().code == Code::closed) return kOk;
  return fail_tool(tool, written.error());
}

}  // namespace fieldline::cli
