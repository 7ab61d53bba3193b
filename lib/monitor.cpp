// SPDX-License-Identifier: Apache-2.0
#include "lib/monitor.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <system_error>

#include "base/application_event.h"
#include "base/fd.h"
#include "cli/run_grant.h"
#include "cli/settings.h"
#include "lib/engine.h"
#include "lib/watched_socket.h"

namespace fieldline::lib {

namespace {

constexpr auto kTold = std::chrono::milliseconds(200);   // for what counts() is told
constexpr auto kLeave = std::chrono::milliseconds(500);  // for the thread's last steps

Result<cli::UserSettings> settings_of(const MonitorOptions& options) {
  cli::Flags flags;
  flags.config = options.config;
  flags.identity = options.identity;
  if (!options.archive.empty()) flags.archives.push_back(options.archive);
  auto settings = cli::load_settings(flags, [](const char* name) { return ::getenv(name); });
  if (settings && !settings->archive) {
    return fail(Code::invalid,
                "no archive is named, and only it can take events; set `archive` in the options, "
                "FIELDLINE_ARCHIVE, or [archive] in ~/.config/fieldline/config.toml");
  }
  return settings;
}

// Readable when the time is over: what ends an ssh-keygen that waits for somebody.
Result<Fd> alarm_after(std::uint64_t ns) {
  Fd fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  itimerspec when{};
  when.it_value.tv_sec = static_cast<time_t>(ns / kNanosPerSecond);
  when.it_value.tv_nsec = static_cast<long>(ns % kNanosPerSecond);
  if (!fd || ::timerfd_settime(fd.get(), 0, &when, nullptr) != 0)
    return fail_errno("setting a timer");
  return fd;
}

Result<cli::RunGrant> sign_grant(const WatchedSocket& socket, const MonitorOptions& options,
                                 const std::string& identity) {
  auto alarm = alarm_after(options.on_timeout_ns);
  if (!alarm) return alarm.error();
  auto signer = cli::Signer::open(identity, cli::Terminal::none, alarm->get());
  cli::GrantLimits limits;
  limits.issued_at_ns = SystemClock().utc_ns();
  limits.not_after_ns = limits.issued_at_ns + options.for_ns;
  limits.snaplen = options.snaplen;
  limits.sample_n = options.sample;
  auto grant = signer ? cli::RunGrant::make(socket.plan, limits, *signer)
                      : Result<cli::RunGrant>(signer.error());
  if (!grant && grant.error().code == Code::closed) {
    return fail(Code::timeout, "the grant was not signed within " +
                                   std::to_string(options.on_timeout_ns / kNanosPerMilli) +
                                   " ms; does the key's agent wait for somebody (ssh-add -l)?");
  }
  return grant;
}

std::string host_name() {
  char name[256] = "";
  ::gethostname(name, sizeof name - 1);
  return is_plain_text(name) && *name != '\0' ? name : "localhost";
}

// Signals are the application's threads' to take.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

Monitor::Monitor(const MonitorOptions& options)
    : shared_(std::make_shared<Shared>(options.buffer_bytes)),
      speaker_{options.host.empty() ? host_name() : options.host,
               options.program.empty() ? program_invocation_short_name : options.program},
      off_timeout_ns_(options.off_timeout_ns) {}

Monitor::~Monitor() {
  if (thread_.joinable()) switch_off(0);
}

Result<std::unique_ptr<Monitor>> Monitor::switch_on(int fd, const MonitorOptions& options) {
  auto socket = look_at(fd);
  if (!socket) return socket.error();
  const cli::Plan& plan = socket->plan;
  auto settings = settings_of(options);
  if (!settings) return settings.error();
  std::unique_ptr<Monitor> monitor(new Monitor(options));
  monitor->speaker_.sockid = socket->cookie;
  // What every event will have is judged before anything is signed.
  auto sound = monitor->speaker_.event("x", {});
  if (!sound) return std::move(sound.error()).in("host or program");
  cli::SenderOptions to;
  if (options.trigger_port != 0) to.port = options.trigger_port;
  to.traffic_class = plan.traffic_class;
  auto sender = cli::Sender::open(plan.local, plan.remote, to);
  if (!sender) return sender.error();
  auto grant = sign_grant(*socket, options, settings->identity);
  if (!grant) return grant.error();
  monitor->run_ = grant->run().hex();
  const Pairs ends = {{"protocol", plan.protocol == IPPROTO_TCP ? "tcp" : "udp"},
                      {"local", plan.local.to_string()},
                      {"local_port", std::to_string(plan.pairs.front().a)},
                      {"remote", plan.remote.to_string()},
                      {"remote_port", std::to_string(plan.pairs.front().b)}};
  auto engine = Engine::create(monitor->shared_, monitor->speaker_, std::move(*grant),
                               std::move(*sender), *settings->archive, options.buffer_bytes, ends);
  if (!engine) return engine.error();
  auto started = monitor->start(std::move(*engine));
  if (!started) return started.error();
  return monitor;
}

// The engine goes with its thread: to destroy it may have to wait for a name look-up.
Result<void> Monitor::start(std::unique_ptr<Engine> engine) {
  Engine* running = engine.get();
  auto work = [shared = shared_, engine = std::move(engine)]() mutable {
    engine->run();
    engine.reset();
    std::lock_guard lock(shared->mutex);
    shared->gone = true;
    shared->changed.notify_all();
  };
  try {
    SignalsBlocked blocked;
    thread_ = std::thread(std::move(work));
  } catch (const std::system_error& error) {
    return fail(Code::io, std::string("starting a thread: ") + error.what());
  }
  engine_ = running;
  return {};
}

void Monitor::wake(void (Engine::*what)()) {
  std::lock_guard lock(mutex_);
  if (engine_ != nullptr) (engine_->*what)();
}

Result<void> Monitor::write(std::string_view name, Pairs pairs) {
  const bool is_ours = name.starts_with(FL_APPLICATION_RESERVED);
  auto body =
      is_ours
          ? Result<Bytes>(fail(Code::invalid, "event names that begin with " FL_APPLICATION_RESERVED
                                              " are the library's own"))
          : speaker_.event(name, std::move(pairs));
  if (!body) {
    refuse();
    return body.error();
  }
  const auto put = shared_->outbox.put(std::move(*body));
  if (put == Outbox::Put::first) wake(&Engine::collect_soon);
  if (put == Outbox::Put::late)
    return fail(Code::exhausted, "the run is being ended; the event is dropped and counted");
  if (put != Outbox::Put::dropped) return {};
  return fail(Code::exhausted,
              "no room for the event, which is dropped and counted; a larger "
              "buffer_bytes holds more while the archive is away");
}

// What the thread said comes first: events that are written meanwhile are pending then.
Counts Monitor::known() {
  Counts counts;
  {
    std::lock_guard lock(shared_->mutex);
    counts.acknowledged = shared_->acknowledged;
    counts.dropped = shared_->dropped;
    counts.pulses = shared_->pulses;
    counts.connected = shared_->connected;
  }
  const auto outbox = shared_->outbox.counts();
  counts.written = outbox.written;
  counts.dropped += outbox.dropped;
  counts.refused = outbox.refused;
  counts.pending = counts.written - counts.acknowledged - counts.dropped;
  return counts;
}

Counts Monitor::counts() {
  std::unique_lock lock(shared_->mutex);
  const std::uint64_t before = shared_->told;
  lock.unlock();
  wake(&Engine::tell_soon);
  lock.lock();
  shared_->changed.wait_for(lock, kTold, [&] { return shared_->told != before; });
  lock.unlock();
  return known();
}

Counts Monitor::switch_off(std::uint64_t timeout_ns) {
  shared_->outbox.close();
  {
    std::lock_guard lock(mutex_);
    if (engine_ != nullptr) engine_->finish(timeout_ns);
    engine_ = nullptr;
  }
  std::unique_lock lock(shared_->mutex);
  const bool gone = shared_->changed.wait_for(lock, std::chrono::nanoseconds(timeout_ns) + kLeave,
                                              [&] { return shared_->gone; });
  lock.unlock();
  std::thread ended;  // to whoever comes first
  {
    std::lock_guard ours(mutex_);
    ended.swap(thread_);
  }
  if (ended.joinable()) gone ? ended.join() : ended.detach();
  return known();
}

}  // namespace fieldline::lib
