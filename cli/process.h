// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/result.h"

namespace fieldline::cli {

struct Finished {
  int status = 0;  // exit status; 128 + signal if it was killed
  std::string out, err;
};

// Whether a program has this process's terminal, and can ask for a passphrase there.
enum class Terminal { shared, none };

// Runs a program found in PATH, without a shell: input to its stdin, what it writes comes back (at
// most 1 MiB each, the rest is an error). When end_by (a descriptor, if not -1) becomes readable,
// the program is ended: closed. Where somebody else of this process waited for it, its status is
// not known and taken to be 0.
Result<Finished> run_process(const std::vector<std::string>& arguments, ByteView input,
                             int end_by = -1, Terminal terminal = Terminal::shared);

// A program found in PATH that goes on beside this one. It has this process's terminal and standard
// error; Ctrl-C there is this process's alone to answer.
class Child {
 public:
  static Result<Child> start(const std::vector<std::string>& arguments);
  Child(Child&& other) noexcept
      : input(std::move(other.input)),
        output(std::move(other.output)),
        pid_(std::exchange(other.pid_, 0)) {}
  Child& operator=(Child&&) = delete;
  ~Child() { end(); }
  // SIGTERM if it still runs, and waits.
  void end();

  Fd input;   // non-blocking
  Fd output;  // of the program

 private:
  Child() = default;
  pid_t pid_ = 0;
};

}  // namespace fieldline::cli
