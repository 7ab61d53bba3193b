// SPDX-License-Identifier: Apache-2.0
// ethtool's questions to the driver of one interface. Not by /sys/class/net, which shows the
// network namespace that sysfs was mounted in.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace fieldline::source {

class Ethtool {
 public:
  explicit Ethtool(const std::string& interface);

  std::string driver() const;  // empty: it has none to name
  // What can be switched, by ethtool's own names ("rx-gro"); empty: nothing can be asked.
  struct Feature {
    bool active = false;     // in force
    bool fixed = false;      // the driver lets nobody change it
    bool requested = false;  // what somebody wishes, in force or not
  };
  std::map<std::string, Feature> features() const;
  // Returns when the driver has done it; what it refused shows in features().
  Result<void> set(const std::map<std::string, bool>& wanted) const;
  // The driver's own counters, as `ethtool -S` shows them; empty: it has none.
  std::map<std::string, std::uint64_t> statistics() const;

 private:
  template <class Request>
  bool ask(Request& request) const;
  std::vector<std::string> strings(std::uint32_t set) const;

  Fd socket_;
  std::string interface_;
};

}  // namespace fieldline::source
