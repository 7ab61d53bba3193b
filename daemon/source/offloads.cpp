// SPDX-License-Identifier: Apache-2.0
#include "source/offloads.h"

#include <net/if.h>

#include <array>
#include <utility>

#include "source/ethtool.h"

namespace fieldline::source {
namespace {

struct Offload {
  const char* feature;  // the kernel's name
  const char* command;  // what `ethtool -K` takes
  const char* damage;
};
constexpr std::array kSpoiling{
    Offload{"rx-gro", "gro", "merges segments"},
    Offload{"rx-gro-hw", "rx-gro-hw", "merges segments"},
    Offload{"rx-lro", "lro", "merges segments"},
    Offload{"rx-vlan-hw-parse", "rxvlan", "strips VLAN tags"},
    Offload{"rx-vlan-stag-hw-parse", "rx-vlan-stag-hw-parse", "strips VLAN tags"},
};

}  // namespace

Result<OffloadsOff> OffloadsOff::hold(const std::string& interface, int index) {
  const Ethtool ethtool(interface);
  OffloadsOff off;
  off.interface_ = interface;
  off.index_ = index;
  std::map<std::string, bool> wanted;
  const auto before = ethtool.features();
  for (const auto& [feature, command, damage] : kSpoiling) {
    const auto found = before.find(feature);
    if (found == before.end() || !found->second.active) continue;
    wanted[feature] = false;
    off.were_[feature] = true;
  }
  if (wanted.empty()) return off;
  if (auto set = ethtool.set(wanted); !set) return set.error();
  const auto after = ethtool.features();
  for (const auto& [feature, command, damage] : kSpoiling) {
    const auto found = after.find(feature);
    if (found == after.end() || !found->second.active) continue;
    const std::string run = "ethtool -K " + interface + " " + command + " off";
    return fail(Code::unsupported, std::string(command) + " is on, which " + damage +
                                       ", and the driver does not turn it off. Run: " + run +
                                       "; if it refuses too, use a port of another driver");
  }
  return off;
}

OffloadsOff::OffloadsOff(OffloadsOff&& other) noexcept
    : interface_(std::move(other.interface_)),
      index_(std::exchange(other.index_, 0)),
      were_(std::move(other.were_)) {}

OffloadsOff::~OffloadsOff() {
  if (index_ == 0 || were_.empty()) return;
  if (static_cast<int>(if_nametoindex(interface_.c_str())) != index_) return;
  // Nobody is left to tell: the driver took the same change the other way a moment ago.
  static_cast<void>(Ethtool(interface_).set(were_));
}

}  // namespace fieldline::source
