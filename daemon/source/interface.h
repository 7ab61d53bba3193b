// SPDX-License-Identifier: Apache-2.0
// What the kernel says about an interface, by rtnetlink in this process's namespace.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace fieldline::source {

struct Interface {
  int index = 0;
  std::string name;
  bool up = false;
  std::string master;                  // empty: none
  std::vector<std::string> addresses;  // with prefix length
  std::vector<std::string>
      routes;  // those that somebody set; what the kernel derives comes with addresses
};

Result<Interface> read_interface(const std::string& name);

// A tap consumes each packet after use, so that an interface with an address, a route or a master
// would go dead. The error says how to mend it.
Result<void> check_is_tap(const Interface& interface);

}  // namespace fieldline::source
