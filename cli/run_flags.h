// SPDX-License-Identifier: Apache-2.0
// What ping and run ask of sensors, as typed: one set of flags for both.
#pragma once

#include <string>

#include "cli/run_maker.h"

namespace CLI {
class App;
}

namespace fieldline::cli {

class RunFlags {
 public:
  explicit RunFlags(const char* duration) : duration_(duration) {}  // --for, unless typed
  void declare(CLI::App& command);
  // settings: nullptr if there are none to be had, and nothing will come of the terms.
  Result<RunTerms> check(const UserSettings* settings) const;
  bool at_requester() const { return archive_ == kRequester; }

 private:
  static constexpr const char* kRequester = "requester";

  RunTerms terms_;
  std::string duration_, renew_ = "1s", archive_ = "own";
};

}  // namespace fieldline::cli
