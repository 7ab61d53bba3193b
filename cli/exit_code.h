// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <functional>

#include "base/result.h"

namespace fieldline::cli {

// The same for every command; `fieldline --help` lists them.
enum Exit : int {
  kOk = 0,
  kFailure = 1,
  kUsage = 2,
  kDenied = 3,
  kNoAnswer = 4,
  kPartial = 5,
};

// Says the error on stderr, in one form for all commands, and gives the code that fits it.
int complain(const Error& error, int otherwise = kFailure);

// What was thrown, for people: want of memory, else a bug of ours.
Error error_of(const std::exception& thrown);

// Takes a step after which the program goes on, whatever it throws.
Result<void> attempt(const std::function<Result<void>()>& step);

// A remark on stderr; never on stdout, which belongs to results.
void note(const std::string& text);

}  // namespace fieldline::cli
