// SPDX-License-Identifier: Apache-2.0
#include "cli/exit_code.h"

#include <cstdio>
#include <new>

#include "cli/text.h"

namespace fieldline::cli {

int complain(const Error& error, int otherwise) {
  std::fprintf(stderr, "fieldline: %s\n", printable_lines(error.text()).c_str());
  return error.code == Code::denied ? kDenied : otherwise;
}

Error error_of(const std::exception& thrown) {
  if (dynamic_cast<const std::bad_alloc*>(&thrown))
    return fail(Code::exhausted,
                "out of memory; ask for less of it, or on a host with more memory");
  return fail(Code::unsupported, std::string("a bug: ") + thrown.what() +
                                     "; please report it with the command that you typed");
}

Result<void> attempt(const std::function<Result<void>()>& step) {
  try {
    return step();
  } catch (const std::exception& thrown) {
    return error_of(thrown);
  }
}

void note(const std::string& text) {
  std::fprintf(stderr, "%s\n", printable_lines(text).c_str());
}

}  // namespace fieldline::cli
