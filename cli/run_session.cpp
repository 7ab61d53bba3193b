// SPDX-License-Identifier: Apache-2.0
#include "cli/run_session.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include "base/tcp_sample.h"
#include "cli/exit_code.h"
#include "cli/ping.h"
#include "cli/run_command.h"
#include "cli/signals.h"
#include "cli/text.h"

namespace fieldline::cli {
namespace {

// Looks take no more than a fortieth of a CPU, however many sockets the machine has.
constexpr std::uint64_t kLookEvery = 20 * kNanosPerMilli, kLookAtMost = 500 * kNanosPerMilli;
constexpr std::uint64_t kLookShare = 40;
// Of this thread, the kernel's work on its questions with it: a busy machine makes a look no
// dearer.
std::uint64_t cpu_ns() {
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<std::uint64_t>(used.tv_sec) * kNanosPerSecond +
         static_cast<std::uint64_t>(used.tv_nsec);
}

// What the kernel still sends when the command has ended is waited for.
constexpr std::uint64_t kLinger = 5 * kNanosPerSecond;

// Whoever reads the command's output must see its end with the command's.
void let_go_of_streams() {
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO}) {
    if (null) ::dup2(null.get(), fd);
  }
}

}  // namespace

// The mask as it was is the command's. SIGQUIT (Ctrl-\) is the command's alone to answer.
Result<sigset_t> RunSession::mask_signals() {
  sigset_t before, quit;
  ::sigprocmask(SIG_SETMASK, nullptr, &before);
  auto signals = block_signals();
  if (!signals) return signals.error();
  signals_ = std::move(*signals);
  sigemptyset(&quit);
  sigaddset(&quit, SIGQUIT);
  ::sigprocmask(SIG_BLOCK, &quit, nullptr);
  return before;
}

Result<void> RunSession::start(const std::vector<std::string>& command) {
  auto maker = RunMaker::create();
  if (!maker) return maker.error();
  maker_ = std::move(*maker);
  auto kernel = SockDiag::open();
  if (!kernel) return kernel.error();
  kernel_.emplace(std::move(*kernel));
  auto mask = mask_signals();
  if (!mask) return mask.error();
  if (auto cgroup = Cgroup::create()) {
    cgroup_.emplace(std::move(*cgroup));
  } else {
    record_.no_cgroup = cgroup.error().text();
  }
  record_.command = command;
  record_.started_ns = clock_.utc_ns();
  auto started = Command::start(command, *mask, cgroup_ ? &*cgroup_ : nullptr);
  if (!started) return started.error();
  command_.emplace(std::move(*started));
  let_go_of_streams();
  return {};
}

// Once the keeper has told whether the command is in its cgroup.
Result<void> RunSession::find_sockets() {
  if (command_->cgroup_error() != 0)
    record_.no_cgroup = std::string("joining it: ") + std::strerror(command_->cgroup_error());
  if (record_.no_cgroup.empty()) {
    auto by_cgroup = CommandSockets::of_cgroup(cgroup_->id());
    if (by_cgroup) {
      sockets_.emplace(std::move(*by_cgroup));
      record_.by_cgroup = true;
      return {};
    }
    record_.no_cgroup = by_cgroup.error().text();
  }
  auto by_tree = CommandSockets::of_tree(command_->keeper());
  if (!by_tree) return by_tree.error();
  sockets_.emplace(std::move(*by_tree));
  return {};
}

void RunSession::remark(const std::string& text) {
  record_.remarks.push_back(text);
  if (is_terminal(STDERR_FILENO)) note("fieldline: " + text);
}

Result<RunRecord> RunSession::run(const std::vector<std::string>& command) {
  if (auto started = start(command); !started) return started.error();
  loop();
  maker_->stop();
  end_runs();
  record_.ended_ns = clock_.utc_ns();
  record_.left_running = !command_->all_ended();
  if (sockets_) record_.closed_to_us = sockets_->closed_to_us();
  if (const auto status = command_->status()) {
    record_.exit = exit_status(*status);
    if (WIFSIGNALED(*status)) record_.signal = WTERMSIG(*status);
  } else {
    remark(
        "how the command ended is not known: the process that kept it (fieldline-run) was killed");
    record_.exit = kNotRun;
  }
  return std::move(record_);
}

void RunSession::loop() {
  while (!stop_) {
    const std::uint64_t now = clock_.monotonic_ns();
    if (command_->started() && now >= next_look_ns_) look(now);
    if (command_->all_ended() && !lingers(now)) return;
    ask();
    send_pulses(now);
    std::uint64_t wake = now + kNanosPerSecond;
    if (command_->started()) wake = next_look_ns_;
    for (const auto& run : runs_) wake = std::min(wake, run.due_ns);
    wait_until(wake);
  }
}

bool RunSession::lingers(std::uint64_t now) {
  if (linger_until_ns_ == 0) {
    linger_until_ns_ = now + kLinger;
    next_look_ns_ = now;  // the last look may be older than the end
    return !runs_.empty();
  }
  return now < linger_until_ns_ && record_.cover.any_sending();
}

void RunSession::look(std::uint64_t now) {
  if (!sockets_ && !look_failed_) {
    if (auto found = find_sockets(); !found) {
      look_failed_ = true;
      remark("no socket can be seen: " + found.error().text());
    }
  }
  if (look_failed_) {
    next_look_ns_ = now + kLookAtMost;
    return;
  }
  const std::uint64_t before = cpu_ns();
  auto found = sockets_->look(now);
  if (!found && record_.looks > 0) {
    next_look_ns_ = now + kLookAtMost;
    return;
  }
  if (!found) {
    look_failed_ = true;
    return remark("no socket can be seen: " + found.error().text());
  }
  if (last_look_ns_ != 0)
    record_.longest_gap_ns = std::max(record_.longest_gap_ns, now - last_look_ns_);
  last_look_ns_ = now;
  ++record_.looks;
  record_.cover.see(*found, now);
  if (cgroup_) record_.cgroups_within = std::max(record_.cgroups_within, cgroup_->descendants());
  const std::uint64_t took = cpu_ns() - before;
  next_look_ns_ = now + std::clamp(took * kLookShare, kLookEvery, kLookAtMost);
}

void RunSession::ask() {
  if (auto made = maker_->take()) {
    if (*made) {
      adopt(std::move(**made));
    } else {
      record_.cover.give_up(asked_);
      remark("no grant for " + asked_.to_string() + ": " + made->error().text());
    }
  }
  if (maker_->busy() || command_->all_ended()) return;
  auto plan = record_.cover.next();
  if (!plan) return;
  asked_ = *plan;
  maker_->start(std::move(*plan), record_.terms, signer_);
}

void RunSession::adopt(MadeRun made) {
  const std::uint64_t now = clock_.monotonic_ns();
  record_.runs.push_back({made.grant.run(), made.plan});
  record_.runs.back().first_pulse_ns = clock_.utc_ns();
  runs_.push_back({std::move(made.grant), std::move(made.sender), now, 0});
  send(runs_.size() - 1, false);
  runs_.back().due_ns = now + next_pulse_ns(0, record_.terms.renew_ns);
  note_unheard(record_.cover.cover(made.plan, clock_.monotonic_ns()));
  if (is_terminal(STDERR_FILENO))
    note("fieldline: run " + record_.runs.back().run.brief() + ": " + made.plan.to_string());
}

// What a connection had sent before anybody was asked to listen.
void RunSession::note_unheard(const std::vector<std::size_t>& begun) {
  for (const std::size_t index : begun) {
    Cover::Seen& seen = record_.cover.at(index);
    if (seen.socket.protocol != IPPROTO_TCP) continue;
    auto info = kernel_->tcp_info(seen.socket);
    if (info && *info) seen.unheard = tcp_sample(**info, seen.socket, clock_.utc_ns()).bytes_sent;
  }
}

void RunSession::send_pulses(std::uint64_t now) {
  std::size_t index = 0;
  for (auto& run : runs_) {
    if (run.due_ns <= now) {
      send(index, false);
      run.due_ns = run.start_ns + next_pulse_ns(now - run.start_ns, record_.terms.renew_ns);
    }
    ++index;
  }
}

void RunSession::send(std::size_t index, bool ending) {
  Run& run = *std::next(runs_.begin(), static_cast<std::ptrdiff_t>(index));
  RecordedRun& recorded = record_.runs[index];
  // A wall clock that was set back would make pulses older than their grant.
  const std::uint64_t now = std::max(clock_.utc_ns(), run.grant.grant().issued_at_ns);
  if (now >= run.grant.grant().not_after_ns) {
    if (recorded.ended_ns == 0)
      remark("the time of run " + recorded.run.brief() +
             " is over (--for) and the command goes on");
    recorded.ended_ns = run.grant.grant().not_after_ns;
    return;
  }
  auto sent = run.sender->send(ending ? run.grant.ending(now) : run.grant.pulse(now));
  if (!sent && !run.send_failed) {
    run.send_failed = true;
    remark(sent.error().text() + "; going on");
  }
  recorded.pulses = run.grant.pulses();
  if (ending) recorded.ended_ns = now;
}

void RunSession::end_runs() {
  for (std::size_t index = 0; index < runs_.size(); ++index) send(index, true);
  if (runs_.empty()) return;
  ::poll(nullptr, 0, static_cast<int>(kEndingGap / kNanosPerMilli));
  for (std::size_t index = 0; index < runs_.size(); ++index) send(index, true);
}

void RunSession::wait_until(std::uint64_t mono_ns) {
  const std::uint64_t now = clock_.monotonic_ns();
  const std::uint64_t left = mono_ns > now ? mono_ns - now : 0;
  const timespec timeout{static_cast<time_t>(left / kNanosPerSecond),
                         static_cast<long>(left % kNanosPerSecond)};
  pollfd fds[3] = {
      {signals_.get(), POLLIN, 0}, {command_->fd(), POLLIN, 0}, {maker_->fd(), POLLIN, 0}};
  if (::ppoll(fds, 3, &timeout, nullptr) <= 0) return;
  if (fds[0].revents != 0) take_signal();
  if (fds[1].revents != 0) command_->take();
}

// What the terminal sends (Ctrl-C) the command has got as well; what somebody sends to us alone is
// passed on to it. Once it has ended, a signal ends the watch over what it left running.
void RunSession::take_signal() {
  signalfd_siginfo info;
  if (::read(signals_.get(), &info, sizeof info) != sizeof info) return;
  if (command_->status()) {
    stop_ = true;
  } else if (info.ssi_code != SI_KERNEL) {
    command_->signal(static_cast<int>(info.ssi_signo));
  }
}

}  // namespace fieldline::cli
