// SPDX-License-Identifier: Apache-2.0
#include "source/libbpf_log.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace fieldline::source {

namespace {

constexpr std::size_t kLogKept = 1500;  // a verifier's last lines say why

}  // namespace

thread_local LibbpfLog* LibbpfLog::current_ = nullptr;

LibbpfLog::LibbpfLog() {
  libbpf_set_print(&LibbpfLog::print);
  current_ = this;
}

LibbpfLog::~LibbpfLog() {
  current_ = nullptr;
}

Error LibbpfLog::fail(Code code, const std::string& what) const {
  std::string said = text_;
  while (!said.empty() && said.back() == '\n') said.pop_back();
  if (said.size() > kLogKept) said = "..." + said.substr(said.size() - kLogKept);
  return {code, said.empty() ? what : what + "; libbpf: " + said};
}

Error LibbpfLog::load_error(const std::string& what) const {
  const int cause = errno;
  std::string why = "loading " + what + ": " + std::strerror(cause);
  if (cause == EPERM) {
    why += "; run as root or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON";
    return fail(Code::denied, why);
  }
  return fail(Code::unsupported, why + "; Linux 6.1 or newer is needed");
}

int LibbpfLog::print(libbpf_print_level level, const char* format, va_list args) {
  if (!current_ || level > LIBBPF_WARN) return 0;
  va_list again;
  va_copy(again, args);
  int length = std::vsnprintf(nullptr, 0, format, args);
  if (length > 0) {
    std::string line(static_cast<std::size_t>(length) + 1, '\0');
    std::vsnprintf(line.data(), line.size(), format, again);
    line.pop_back();
    current_->text_ += line;
  }
  va_end(again);
  return 0;
}

}  // namespace fieldline::source
