// SPDX-License-Identifier: Apache-2.0
// What a NIC took from the wire, or was offered there, and did not hand over: lost in front of the
// classifier, so that no counter of ours knows it.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "source/interface.h"

namespace fieldline::source {

struct NicDrops {
  std::map<std::string, std::uint64_t> kernel;  // of the interface's statistics
  std::map<std::string, std::uint64_t> driver;  // by its own names; numbers in them are an N

  // How many at least: drivers count some drops under several names, and some in both ways.
  std::uint64_t total() const;
  // What came since; a counter that fell has begun anew.
  NicDrops since(const NicDrops& before) const;
};

// Of an interface in the path, drops behind our hook are among the kernel's: they are left out.
NicDrops read_nic_drops(const Interface& interface, bool in_path);

// Whether a driver's counter of that name is of received packets that it dropped.
bool counts_drops(const std::string& name);

}  // namespace fieldline::source
