// SPDX-License-Identifier: Apache-2.0
// A program on a tc hook of an interface, in front of all others there, who may end the packet's
// way.
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace fieldline::source {

// What to do about a kernel that has no such qdisc or classifier; empty: that is not the trouble.
std::string clsact_remedy(int error);

// A tcx link where the kernel has them (6.6): it ends with the process. Else a clsact filter, which
// stays when the process is killed; the next start replaces its own.
class TcHook {
 public:
  enum class Way : std::uint8_t { ingress, egress };
  // Filters of different owners stand side by side; an owner's are told by program and priority.
  struct Owner {
    const char* program;
    std::uint32_t priority;
  };

  static Result<TcHook> attach(int ifindex, Way way, int program_fd, const Owner& owner,
                               bool only_clsact = false);
  TcHook(TcHook&& other) noexcept;
  TcHook& operator=(TcHook&&) = delete;
  ~TcHook();

  bool outlives_process() const { return !link_; }
  const char* attachment() const { return link_ ? "tcx" : "clsact"; }

 private:
  TcHook() = default;
  Result<void> attach_clsact(int ifindex, int point, int program_fd, const Owner& owner);

  Fd link_;
  int filter_on_ = 0;  // ifindex; 0: there is no filter to remove
  int point_ = 0;
  std::uint32_t priority_ = 0;
};

}  // namespace fieldline::source
