// SPDX-License-Identifier: Apache-2.0
// The sockets of a command and its children, in this network namespace, as they are now.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "base/result.h"
#include "base/sock_diag.h"

namespace fieldline::cli {

class CommandSockets {
 public:
  // By the cgroup in which they were made: the kernel tells those alone, and also what all have
  // closed but the kernel still sends.
  static Result<CommandSockets> of_cgroup(std::uint64_t cgroup);
  // By who holds them among the keeper's descendants.
  static Result<CommandSockets> of_tree(pid_t keeper);

  // TCP (not listening, not TIME_WAIT) and UDP, connected or not.
  Result<std::vector<DiagSocket>> look(std::uint64_t now_ns);
  bool by_cgroup() const { return cgroup_.has_value(); }
  // Of the tree: processes whose files this user may not see, at most at one time.
  std::size_t closed_to_us() const { return closed_to_us_; }

 private:
  explicit CommandSockets(SockDiag kernel) : kernel_(std::move(kernel)) {}
  Result<std::vector<DiagSocket>> all();
  void choose(std::vector<DiagSocket>& sockets, std::uint64_t now_ns);

  SockDiag kernel_;
  std::optional<std::uint64_t> cgroup_;
  pid_t keeper_ = 0;
  std::size_t closed_to_us_ = 0;
  // By cookie. A stranger may be a child's that was made while /proc was read: it is looked at
  // again for a while.
  std::set<std::uint64_t> own_;
  std::map<std::uint64_t, std::uint64_t> strangers_;  // first seen, ns
};

}  // namespace fieldline::cli
