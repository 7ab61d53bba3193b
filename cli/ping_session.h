// SPDX-License-Identifier: Apache-2.0
// One ping under way: its runs, their pulses, and what the archive tells of them.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "cli/board.h"
#include "cli/exit_code.h"
#include "cli/ping.h"
#include "cli/ping_output.h"
#include "cli/run_maker.h"
#include "cli/run_watch.h"
#include "cli/spray.h"

namespace fieldline::cli {

class PingSession {
 public:
  PingSession(const PingOptions& options, const UserSettings& settings);
  int run();

 private:
  struct Run {
    Plan plan;
    RunGrant grant;
    std::unique_ptr<TriggerSender> sender;
    std::string principal;
    std::unique_ptr<RunWatch> watch;  // none: no archive
    std::uint64_t start_mono_ns = 0, due_mono_ns = 0;
    bool send_failed = false;  // said once
  };

  // ping.cpp: what to ask for
  Result<void> prepare();
  Result<std::vector<Plan>> find_plans();
  Result<std::vector<Socket>> sockets_to_host(const std::vector<Plan>& known);
  RunTerms terms() const;
  Result<void> grant_all(const std::vector<Plan>& plans);
  void adopt(MadeRun made);
  Result<void> ask_for_new_sockets();
  void follow_sockets();
  void stop_following(const Error& error);
  void lose_archive(const Error& error);

  // ping_loop.cpp: until the time is over
  void pulse_until_end();
  void send_due_pulses(std::uint64_t now_mono_ns);
  void send(Run& run, bool ending);
  void end_runs();
  void await_final_counts();
  bool poll_until(std::uint64_t mono_ns);  // false: a signal asks for the end
  void take_events();
  void draw(bool last);
  std::string table(bool last);
  int finish();
  int exit_code() const;
  nlohmann::json summary_json(int code);
  std::string summary_text();

  PingOptions options_;
  UserSettings settings_;
  SystemClock clock_;
  std::optional<Signer> signer_;
  std::shared_ptr<FlowHost> host_;
  std::vector<Address> remotes_;
  Fd signals_;
  std::unique_ptr<WatchQueue> queue_;  // before runs_: their watches push to it
  std::unique_ptr<RunMaker> maker_;
  std::list<Run> runs_;
  std::vector<RunId> first_runs_;  // those that --wait counts
  Board board_;
  SprayBoard spray_;
  PingOutput output_;
  std::uint64_t not_after_ns_ = 0, end_mono_ns_ = 0;  // of all runs; UTC and monotonic
  std::uint64_t next_scan_ns_ = 0, next_draw_ns_ = 0;
  std::size_t announced_ = 0;  // sensors told as confirmed
  bool archive_lost_ = false;
  bool host_lost_ = false;       // the connection to it, with --via
  bool following_ = false;       // new sockets
  std::string reason_ = "time";  // why it ended
};

}  // namespace fieldline::cli
