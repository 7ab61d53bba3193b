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
  unsigned short type = 0;  // ARPHRD_
  std::string kind;         // of a virtual one: veth, bridge, dummy, ...; else "nic", "loopback"
  std::string driver;       // as ethtool names it; may be empty
  std::string master;       // empty: none
  std::vector<std::string> addresses;  // with prefix length
  std::vector<std::string>
      routes;  // those that somebody set; what the kernel derives comes with addresses
};

Result<Interface> read_interface(const std::string& name);  // all but addresses and routes

Result<void> check_has_ethernet(const Interface& interface);
// A tap consumes each packet after use, so that an interface with an address, a route, a master or
// others on top of it would go dead. The error says how to mend it. bundle: the master that is to
// be; a bond or a team of taps carries nothing itself.
Result<void> check_is_tap(const Interface& interface, const std::string& bundle = "");
// The same but for routes, which a router may have a million of, and for being up: cheap enough to
// ask of a tap whenever something changes.
Result<void> check_carries_nothing(const Interface& interface, const std::string& bundle = "");
// The interfaces whose master it is.
Result<std::vector<std::string>> members_of(const Interface& interface);

}  // namespace fieldline::source
