// SPDX-License-Identifier: Apache-2.0
// impair: the wire of one lab link, when that link delays or drops. Forwards Ethernet frames both
// ways between two interfaces of its network namespace and logs every frame that it drops on
// purpose. What it loses against its will is counted in the status file and makes the exit
// status 1.
//
// User space, because netem is a module that not every kernel has, and because the log must name
// each packet.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>

#include "test/support/impair_port.h"
#include "test/support/impair_rule.h"

namespace fieldline::impair {
namespace {

constexpr std::size_t kHeldMax = 1 << 16;  // frames waiting for their time, each way
constexpr std::uint64_t kStatusInterval = 100 * kNanosPerMilli;

struct Options {
  std::string up, down, fwd_drop, rev_drop, fwd_log, rev_log, status, pid_file;
  double delay_ms = 0;
};

// One way through the wire.
struct Lane {
  const char* name;
  Port& in;
  Port& out;
  std::optional<DropRule> rule;
  std::unique_ptr<PcapLog> log;
  std::deque<Frame> held;
  std::uint64_t received = 0, forwarded = 0, matched = 0, dropped = 0;
  std::uint64_t lost_held = 0, lost_log = 0;

  bool failed() const { return lost_held || lost_log || in.lost_receive() || out.lost_send(); }
};

void accept(Lane& lane, Frame frame) {
  ++lane.received;
  if (lane.rule && lane.rule->matches(frame.bytes())) {
    ++lane.matched;
    if (lane.rule->takes(lane.matched)) {
      ++lane.dropped;
      if (!lane.log->write(frame.bytes(), frame.wire_len())) ++lane.lost_log;
      return;
    }
  }
  if (lane.held.size() >= kHeldMax) {
    ++lane.lost_held;
    return;
  }
  lane.held.push_back(std::move(frame));
}

void print(std::FILE* to, const Lane& lane) {
  const auto line = [&](const char* name, std::uint64_t value) {
    std::fprintf(to, "%s_%s=%llu\n", lane.name, name, static_cast<unsigned long long>(value));
  };
  line("received", lane.received);
  line("forwarded", lane.forwarded);
  line("matched", lane.matched);
  line("dropped", lane.dropped);
  line("held", lane.held.size());
  line("lost_receive", lane.in.lost_receive());
  line("lost_send", lane.out.lost_send());
  line("lost_held", lane.lost_held);
  line("lost_log", lane.lost_log);
}

// Replaced whole, so that a reader never sees half of it; `generation` rises with each SIGUSR1.
bool write_status(const std::string& path, unsigned generation, const std::array<Lane*, 2>& lanes) {
  const std::string hidden = path + ".new";
  std::FILE* file = std::fopen(hidden.c_str(), "w");
  if (!file) return false;
  for (const Lane* lane : lanes) print(file, *lane);
  std::fprintf(file, "generation=%u\n", generation);
  const bool written = std::ferror(file) == 0;
  return std::fclose(file) == 0 && written && std::rename(hidden.c_str(), path.c_str()) == 0;
}

class Wire {
 public:
  Wire(const Options& options, Lane& forward, Lane& reverse, int signals)
      : options_(options),
        lanes_{&forward, &reverse},
        signals_(signals),
        delay_ns_(static_cast<std::uint64_t>(options.delay_ms * 1e6)) {}

  // Until SIGTERM or SIGINT. The exit status.
  int run() {
    std::array<pollfd, 3> polled{
        {{lanes_[0]->in.fd(), POLLIN, 0}, {lanes_[1]->in.fd(), POLLIN, 0}, {signals_, POLLIN, 0}}};
    while (!stop_) {
      const timespec timeout = until_next();
      if (::ppoll(polled.data(), polled.size(), &timeout, nullptr) < 0 && errno != EINTR) return 1;
      if (polled[2].revents) on_signal();
      for (Lane* lane : lanes_) receive(*lane);
      for (Lane* lane : lanes_) release(*lane);
      if (clock_.monotonic_ns() >= status_due_) status();
    }
    status();
    const bool failed = status_failed_ || lanes_[0]->failed() || lanes_[1]->failed();
    return failed ? 1 : 0;
  }

 private:
  void receive(Lane& lane) {
    lane.in.receive(clock_.monotonic_ns() + delay_ns_,
                    [&](Frame frame) { accept(lane, std::move(frame)); });
  }

  void release(Lane& lane) {
    const std::uint64_t now = clock_.monotonic_ns();
    std::size_t due = 0;
    while (due < lane.held.size() && lane.held[due].due_ns <= now) ++due;
    if (due) lane.forwarded += lane.out.send(lane.held, due);
  }

  timespec until_next() const {
    const std::uint64_t now = clock_.monotonic_ns();
    std::uint64_t at = std::max(status_due_, now);
    for (const Lane* lane : lanes_) {
      if (!lane->held.empty()) at = std::min(at, std::max(lane->held.front().due_ns, now));
    }
    return {static_cast<time_t>((at - now) / kNanosPerSecond),
            static_cast<long>((at - now) % kNanosPerSecond)};
  }

  void on_signal() {
    signalfd_siginfo info{};
    if (::read(signals_, &info, sizeof info) != sizeof info) return;
    if (info.ssi_signo != SIGUSR1) {
      stop_ = true;
      return;
    }
    ++generation_;
    status_due_ = 0;  // after this round's frames
  }

  void status() {
    for (Lane* lane : lanes_) lane->in.count_losses();
    if (!write_status(options_.status, generation_, lanes_)) status_failed_ = true;
    status_due_ = clock_.monotonic_ns() + kStatusInterval;
  }

  const Options& options_;
  SystemClock clock_;
  std::array<Lane*, 2> lanes_;
  int signals_;
  std::uint64_t delay_ns_, status_due_ = 0;
  unsigned generation_ = 0;
  bool stop_ = false, status_failed_ = false;
};

Result<void> arm(Lane& lane, const std::string& rule, const std::string& log) {
  if (rule.empty()) return {};
  auto parsed = DropRule::parse(rule);
  if (!parsed) return std::move(parsed.error()).in(lane.name);
  auto opened = PcapLog::create(log);
  if (!opened) return std::move(opened.error()).in(lane.name);
  lane.rule = std::move(*parsed);
  lane.log = std::move(*opened);
  return {};
}

Result<int> block_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&set, number);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) < 0) return fail_errno("blocking signals");
  const int fd = ::signalfd(-1, &set, SFD_CLOEXEC);
  if (fd < 0) return fail_errno("signalfd");
  return fd;
}

// The parent returns once the child listens, so that whoever started us may send at once. 0 in the
// child.
Result<pid_t> go_to_background(const std::string& pid_file) {
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("fork");
  if (child == 0) {
    ::setsid();
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd : {0, 1, 2}) ::dup2(null, fd);
    return 0;
  }
  std::FILE* file = std::fopen(pid_file.c_str(), "w");
  const bool written = file && std::fprintf(file, "%d\n", child) > 0;
  const bool closed = file && std::fclose(file) == 0;
  if (!written || !closed) {
    const Error error = fail_errno("writing " + pid_file);
    ::kill(child, SIGTERM);
    return error;
  }
  return child;
}

// The first that is allowed, as traffic.py's senders: what one CPU hands to veths stays in order.
void stay_on_one_cpu() {
  cpu_set_t allowed, first;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  CPU_ZERO(&first);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    CPU_SET(cpu, &first);
    ::sched_setaffinity(0, sizeof first, &first);
    return;
  }
}

Result<int> run(const Options& options) {
  auto up = Port::open(options.up);
  if (!up) return up.error();
  auto down = Port::open(options.down);
  if (!down) return down.error();
  Lane forward{"fwd", **up, **down, {}, {}, {}};
  Lane reverse{"rev", **down, **up, {}, {}, {}};
  if (auto armed = arm(forward, options.fwd_drop, options.fwd_log); !armed) return armed.error();
  if (auto armed = arm(reverse, options.rev_drop, options.rev_log); !armed) return armed.error();
  auto signals = block_signals();
  if (!signals) return signals.error();
  if (!write_status(options.status, 0, {&forward, &reverse})) {
    return fail_errno("writing " + options.status);
  }
  if (!options.pid_file.empty()) {
    auto child = go_to_background(options.pid_file);
    if (!child) return child.error();
    if (*child > 0) return 0;
  }
  // A page fault, or a busy machine's other processes, would be delay that nobody asked for. What
  // is refused costs accuracy alone.
  ::prctl(PR_SET_TIMERSLACK, 1);
  ::mlockall(MCL_CURRENT);
  stay_on_one_cpu();
  const sched_param lowest{::sched_get_priority_min(SCHED_FIFO)};
  ::sched_setscheduler(0, SCHED_FIFO, &lowest);
  return Wire(options, forward, reverse, *signals).run();
}

}  // namespace
}  // namespace fieldline::impair

int main(int argc, char** argv) {
  fieldline::impair::Options options;
  CLI::App app{
      "The wire of one lab link: forwards both ways between two interfaces, delays and drops."};
  app.add_option("--up", options.up, "interface towards host a")->required();
  app.add_option("--down", options.down, "interface towards host b")->required();
  app.add_option("--status", options.status, "counters, KEY=VALUE; rewritten at SIGUSR1")
      ->required();
  app.add_option("--delay-ms", options.delay_ms, "delay each way")->check(CLI::Range(0.0, 10000.0));
  const char* rule = "[data:|segments:|any:]NTH or [..:]@K,K,.. : which matching packets to drop";
  auto* fwd = app.add_option("--fwd-drop", options.fwd_drop, rule);
  auto* rev = app.add_option("--rev-drop", options.rev_drop, rule);
  fwd->needs(app.add_option("--fwd-log", options.fwd_log, "pcap of what was dropped a to b"));
  rev->needs(app.add_option("--rev-log", options.rev_log, "pcap of what was dropped b to a"));
  app.add_option("--background", options.pid_file, "go to the background, write the pid here");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  auto status = fieldline::impair::run(options);
  if (!status) {
    std::fprintf(stderr, "impair: %s\n", status.error().text().c_str());
    return 1;
  }
  return *status;
}
