// SPDX-License-Identifier: Apache-2.0
// A cgroup (v2) of a command's own: the kernel notes with each socket in which cgroup it was made.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/fd.h"
#include "base/result.h"

namespace fieldline::cli {

// Where the cgroup of this process stands in the file system, from /proc/self/mountinfo and
// /proc/self/cgroup.
Result<std::string> own_cgroup(std::string_view mountinfo, std::string_view membership);

class Cgroup {
 public:
  // Below this process's own, so that its limits hold for the command as well. Needs root or a
  // delegated subtree.
  static Result<Cgroup> create();
  Cgroup(Cgroup&& other) noexcept
      : path_(std::exchange(other.path_, {})),
        id_(other.id_),
        processes_(std::move(other.processes_)) {}
  Cgroup& operator=(Cgroup&&) = delete;
  ~Cgroup();  // removes it, if nobody is in it any more

  std::uint64_t id() const { return id_; }
  const std::string& path() const { return path_; }
  // The one who writes "0" to it moves into the cgroup.
  int processes() const { return processes_.get(); }
  // The cgroups that the command made within: the kernel counts their sockets as theirs.
  std::uint64_t descendants() const;

 private:
  Cgroup() = default;
  std::string path_;
  std::uint64_t id_ = 0;
  Fd processes_;
};

}  // namespace fieldline::cli
