// SPDX-License-Identifier: Apache-2.0
// A command and everything that it starts, under a keeper: a process between this one and the
// command that takes in what the command leaves behind (PR_SET_CHILD_SUBREAPER), tells how the
// command ended, and ends when the last of them has. It also outlives this process, so that the
// command's cgroup is removed in any case.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "cli/cgroup.h"

namespace fieldline::cli {

// As shells, env and timeout have it.
constexpr int kNotStarted = 126, kNotFound = 127;

class Command {
 public:
  // In this process's terminal and process group, with its standard streams and with `mask` as its
  // signal mask. Call it before any thread starts: the keeper goes on as this program.
  static Result<Command> start(const std::vector<std::string>& arguments, const sigset_t& mask,
                               const Cgroup* cgroup);
  Command(Command&&) noexcept = default;
  Command& operator=(Command&&) noexcept = default;

  // Readable when take() has something to learn.
  int fd() const { return news_.get(); }
  // Never waits.
  void take();

  pid_t keeper() const { return keeper_; }
  bool started() const { return pid_ > 0; }
  int exec_error() const { return exec_error_; }  // errno, where it could not be started
  int cgroup_error() const {
    return cgroup_error_;
  }  // errno, where it could not join; if started()
  std::optional<int> status() const { return status_; }  // as of waitpid()
  bool all_ended() const { return all_ended_; }          // and everything that it started
  // To the command alone, as long as it runs.
  void signal(int number) const;

 private:
  Command() = default;

  Fd news_;
  pid_t keeper_ = 0, pid_ = 0;
  int exec_error_ = 0, cgroup_error_ = 0;
  std::optional<int> status_;
  bool all_ended_ = false;
};

// As a shell tells it: 128 + the signal's number for what a signal has killed.
int exit_status(int wait_status);

}  // namespace fieldline::cli
