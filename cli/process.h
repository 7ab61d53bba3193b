// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace fieldline::cli {

struct Finished {
  int status = 0;  // exit status; 128 + signal if it was killed
  std::string out, err;
};

// Runs a program found in PATH, without a shell: input to its stdin, what it writes comes back (at
// most 1 MiB each, the rest is an error). It has this process's terminal, so that it can ask for a
// passphrase. When end_by (a descriptor, if not -1) becomes readable, the program is ended: closed.
Result<Finished> run_process(const std::vector<std::string>& arguments, ByteView input,
                             int end_by = -1);

}  // namespace fieldline::cli
