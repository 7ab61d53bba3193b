// SPDX-License-Identifier: Apache-2.0
// One port: the classifier's program on an interface, for as long as the object or the process
// lives.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "source/classifier.h"
#include "source/interface.h"
#include "source/offloads.h"
#include "source/port_plan.h"
#include "source/tc_hook.h"

namespace fieldline::source {

class Port {
 public:
  using Programs = std::function<Result<int>(Hook hook)>;  // the port's own

  static Result<Port> open(const PortPlan& plan, const Programs& programs);
  // With what a program ends each packet.
  static std::uint32_t action(Place place, Hook hook);

  const Interface& interface() const { return interface_; }
  const char* attachment() const { return hook_ ? hook_->attachment() : "native XDP"; }
  // Why it is not what was the first choice; empty: it is.
  const std::string& remark() const { return remark_; }

 private:
  Result<void> open_tap(const Programs& programs);
  Result<void> open_hook(TcHook::Way way, const Programs& programs);

  // Undone from the last to the first.
  Interface interface_;
  std::string remark_;
  Fd lease_;
  Fd promiscuous_;  // a packet socket that receives nothing and holds the membership
  std::optional<OffloadsOff> offloads_;
  // One of the two. The kernel detaches an XDP program with the last descriptor.
  Fd xdp_;
  std::optional<TcHook> hook_;
};

}  // namespace fieldline::source
