// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/libbpf.h>

#include <cstdarg>
#include <string>

#include "base/result.h"

namespace fieldline::source {

// What libbpf prints while this object lives, on this thread; otherwise libbpf is quiet.
class LibbpfLog {
 public:
  LibbpfLog();
  ~LibbpfLog();
  LibbpfLog(const LibbpfLog&) = delete;
  LibbpfLog& operator=(const LibbpfLog&) = delete;

  Error fail(Code code, const std::string& what) const;
  // Of errno: why `what` could not be loaded, and what to do.
  Error load_error(const std::string& what) const;

 private:
  static int print(libbpf_print_level level, const char* format, va_list args);
  static thread_local LibbpfLog* current_;

  std::string text_;
};

}  // namespace fieldline::source
