// SPDX-License-Identifier: Apache-2.0
// One command under way: its sockets, their runs, and their pulses.
#pragma once

#include <signal.h>

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "cli/cgroup.h"
#include "cli/command.h"
#include "cli/command_sockets.h"
#include "cli/run_maker.h"
#include "cli/run_record.h"
#include "cli/signer.h"

namespace fieldline::cli {

class RunSession {
 public:
  // The signer is asked for each grant.
  RunSession(RunTerms terms, const Signer& signer) : signer_(signer) {
    record_.terms = std::move(terms);
  }

  // Starts it; returns when it and what it started have ended, or when a signal asks for the end
  // after it has. The record, but for what the archive knows. An error: it was not started.
  Result<RunRecord> run(const std::vector<std::string>& command);
  int signals() const { return signals_.get(); }
  // errno of exec(), if the command could not be started.
  int exec_error() const { return command_ ? command_->exec_error() : 0; }

 private:
  struct Run {
    RunGrant grant;
    std::unique_ptr<TriggerSender> sender;
    std::uint64_t start_ns = 0, due_ns = 0;  // monotonic
    bool send_failed = false;                // said once
  };

  Result<sigset_t> mask_signals();
  Result<void> start(const std::vector<std::string>& command);
  Result<void> find_sockets();
  void loop();
  bool lingers(std::uint64_t now_ns);
  void look(std::uint64_t now_ns);
  void ask();
  void adopt(MadeRun made);
  void note_unheard(const std::vector<std::size_t>& begun);
  void send_pulses(std::uint64_t now_ns);
  void send(std::size_t index, bool ending);
  void end_runs();
  void wait_until(std::uint64_t mono_ns);
  void take_signal();
  void remark(const std::string& text);

  const Signer& signer_;
  SystemClock clock_;
  RunRecord record_;
  Fd signals_;
  std::optional<Cgroup> cgroup_;
  std::optional<Command> command_;
  std::optional<CommandSockets> sockets_;
  std::optional<SockDiag> kernel_;  // for single sockets
  std::unique_ptr<RunMaker> maker_;
  Plan asked_;  // what the maker makes a run of
  std::list<Run> runs_;
  std::uint64_t next_look_ns_ = 0, last_look_ns_ = 0, linger_until_ns_ = 0;
  bool stop_ = false, look_failed_ = false;
};

}  // namespace fieldline::cli
