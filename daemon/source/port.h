// SPDX-License-Identifier: Apache-2.0
// One port: the classifier's program on an interface, for as long as the object or the process
// lives.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace fieldline::source {

class Port {
 public:
  // Whether the interface can be a tap; open() asks again.
  static Result<void> check(const std::string& interface);
  static Result<Port> open(const std::string& interface, int program_fd);

 private:
  Fd promiscuous_;  // a packet socket that receives nothing and holds the membership
  Fd link_;  // the kernel detaches the program with the last descriptor; closed before promiscuous_
};

}  // namespace fieldline::source
