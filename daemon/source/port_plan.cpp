// SPDX-License-Identifier: Apache-2.0
#include "source/port_plan.h"

#include <set>

namespace fieldline::source {
namespace {

// The interface itself, or the members that it stands for.
Result<std::vector<std::string>> members(const std::string& name, Place place) {
  auto interface = read_interface(name);
  if (!interface) return interface.error();
  const bool is_bridge = interface->kind == "bridge";
  if (!is_bridge && interface->kind != "bond" && interface->kind != "team")
    return std::vector{name};
  if (is_bridge && place == Place::tap) {
    return fail(Code::invalid,
                "interface " + name +
                    " is a bridge: a tap would consume what it forwards. List it in in_path, or "
                    "take the tap's interfaces out of it (ip link set dev ... nomaster) and list "
                    "these");
  }
  if (place == Place::tap) {
    if (auto checked = check_is_tap(*interface); !checked) return checked.error();
  }
  auto list = members_of(*interface);
  if (list && list->empty()) {
    return fail(Code::invalid, "interface " + name + " is a " + interface->kind +
                                   " without members. Run: ip link set dev ... master " + name +
                                   ", or name the interfaces themselves");
  }
  return list;
}

Result<void> add(std::vector<PortPlan>& plans, const std::string& name, Place place) {
  auto list = members(name, place);
  if (!list) return list.error();
  for (const std::string& member : *list) {
    const std::string bundle = member == name ? "" : name;
    plans.push_back({member, place, bundle});
    if (place == Place::in) plans.push_back({member, Place::out, bundle});
  }
  return {};
}

Result<void> check_number(std::size_t ports) {
  if (ports == 0) return fail(Code::invalid, "no port is named; list at least one interface");
  if (ports <= FL_PORTS_MAX) return {};
  return fail(Code::exhausted, std::to_string(ports) + " ports: a sensor has at most " +
                                   std::to_string(FL_PORTS_MAX) +
                                   ", and an interface in the path is two");
}

}  // namespace

std::string PortPlan::name() const {
  return place == Place::tap ? interface : interface + (place == Place::in ? " in" : " out");
}

Result<Interface> read_for(const PortPlan& plan) {
  auto interface = read_interface(plan.interface);
  if (!interface) return interface.error();
  auto checked = plan.place == Place::tap ? check_is_tap(*interface, plan.bundle)
                                          : check_has_ethernet(*interface);
  if (!checked) return checked.error();
  return interface;
}

Result<void> check_still(const PortPlan& plan) {
  if (plan.place != Place::tap) return {};
  auto interface = read_interface(plan.interface);
  if (!interface) return interface.error();
  return check_carries_nothing(*interface, plan.bundle);
}

Result<std::vector<PortPlan>> plan_ports(const Options& options) {
  std::vector<PortPlan> plans;
  const std::size_t named = options.interfaces.size() + 2 * options.in_path.size();
  if (auto checked = check_number(named); !checked) return checked.error();
  for (const auto& name : options.interfaces) {
    if (auto added = add(plans, name, Place::tap); !added) return added.error();
  }
  for (const auto& name : options.in_path) {
    if (auto added = add(plans, name, Place::in); !added) return added.error();
  }
  if (auto checked = check_number(plans.size()); !checked) return checked.error();
  std::set<std::string> names;
  for (const auto& plan : plans) {
    if (plan.place != Place::out && !names.insert(plan.interface).second)
      return fail(Code::invalid, "interface " + plan.interface + " is listed twice");
    if (auto checked = read_for(plan); !checked) return checked.error();
  }
  return plans;
}

}  // namespace fieldline::source
