// SPDX-License-Identifier: Apache-2.0
// From the interfaces of the configuration to the ports of the sensor.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "source/classifier.h"
#include "source/interface.h"
#include "source/source.h"

namespace fieldline::source {

// One port: an interface in the path is two, one for each hook.
struct PortPlan {
  std::string interface;
  Place place = Place::tap;
  std::string bundle;  // the bond or team by which the interface was named; empty: by itself

  std::string name() const;  // "tap0", "eth0 in", "eth0 out"
  Hook hook() const { return place == Place::tap ? Hook::xdp : Hook::tc; }  // the first choice
};

// Taps, then interfaces in the path, in the order of their lists. A bond, a team, or in the path a
// bridge, stands for its members: each sees a part of the traffic, and the device itself all of it
// a second time. Refuses what cannot be such a port, with the command that mends it.
Result<std::vector<PortPlan>> plan_ports(const Options& options);

// The interface, if it can be the port now.
Result<Interface> read_for(const PortPlan& plan);
// Asked of a port that is attached: nobody has come to need what it consumes.
Result<void> check_still(const PortPlan& plan);

}  // namespace fieldline::source
