// SPDX-License-Identifier: Apache-2.0
#include "cli/exit_code.h"

#include <cstdio>

#include "cli/text.h"

namespace fieldline::cli {

int complain(const Error& error, int otherwise) {
  std::fprintf(stderr, "fieldline: %s\n", printable_lines(error.text()).c_str());
  return error.code == Code::denied ? kDenied : otherwise;
}

void note(const std::string& text) {
  std::fprintf(stderr, "%s\n", printable_lines(text).c_str());
}

}  // namespace fieldline::cli
