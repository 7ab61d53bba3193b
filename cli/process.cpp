// SPDX-License-Identifier: Apache-2.0
#include "cli/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/fd.h"

extern char** environ;

namespace fieldline::cli {

namespace {

constexpr std::size_t kOutputMax = 1 << 20;

struct Pipe {
  Fd read, write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("making a pipe");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

// The child's stdin: a socket, because only a socket can be written to without SIGPIPE.
Result<Pipe> make_input() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail_errno("making a socket pair");
  }
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

// The child gets an empty mask, and default signals but for `ignored`, whatever this process blocks
// or ignores.
Result<pid_t> spawn(const std::vector<std::string>& arguments, const std::array<int, 3>& fds,
                    int ignored = 0, Terminal terminal = Terminal::shared) {
  std::vector<char*> argv;
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  for (int i = 0; i < 3; ++i) posix_spawn_file_actions_adddup2(&actions, fds[i], i);
  sigset_t none, defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  for (int signal : {SIGINT, SIGTERM, SIGPIPE, SIGHUP}) {
    if (signal != ignored) sigaddset(&defaults, signal);
  }
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  const int session = terminal == Terminal::none ? POSIX_SPAWN_SETSID : 0;
  posix_spawnattr_setflags(
      &attributes, static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | session));

  pid_t pid = 0;
  int error = posix_spawnp(&pid, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT || error == EACCES) {
    return fail(
        Code::not_found,
        arguments[0] + " is not to be found in PATH; on Debian: apt install openssh-client");
  }
  if (error != 0) return fail(Code::io, "starting " + arguments[0] + ": " + std::strerror(error));
  return pid;
}

// One readable end into `to`; closes it at its end.
Result<void> drain(Fd& from, std::string& to) {
  char piece[4096];
  ssize_t n = ::read(from.get(), piece, sizeof piece);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return {};
  if (n < 0) return fail_errno("reading from the program");
  if (n == 0) from.reset();
  if (to.size() + static_cast<std::size_t>(n) > kOutputMax) {
    return fail(Code::exhausted, "the program wrote more than 1 MiB");
  }
  to.append(piece, static_cast<std::size_t>(n));
  return {};
}

void feed(Fd& to, ByteView& input) {
  ssize_t n = input.empty() ? 0 : ::send(to.get(), input.data(), input.size(), MSG_NOSIGNAL);
  if (n > 0) input = input.subspan(static_cast<std::size_t>(n));
  bool gone = n < 0 && errno != EINTR && errno != EAGAIN;  // EPIPE: it does not want the rest
  if (input.empty() || gone) to.reset();
}

Result<void> exchange(Fd in, Fd out, Fd err, ByteView input, int end_by, Finished& finished) {
  ::fcntl(in.get(), F_SETFL, O_NONBLOCK);
  while (out || err) {
    pollfd fds[4] = {{in.get(), POLLOUT, 0},
                     {out.get(), POLLIN, 0},
                     {err.get(), POLLIN, 0},
                     {end_by, POLLIN, 0}};
    if (::poll(fds, 4, -1) < 0) {
      if (errno == EINTR) continue;
      return fail_errno("waiting for the program");
    }
    // Its helpers may hold the pipes beyond its end: their end is not waited for.
    if (fds[3].revents != 0) return fail(Code::closed, "ended before it was done");
    if (fds[0].revents != 0 && in) feed(in, input);
    if (fds[1].revents != 0 && out) {
      if (auto done = drain(out, finished.out); !done) return done.error();
    }
    if (fds[2].revents != 0 && err) {
      if (auto done = drain(err, finished.err); !done) return done.error();
    }
  }
  return {};
}

}  // namespace

Result<Finished> run_process(const std::vector<std::string>& arguments, ByteView input, int end_by,
                             Terminal terminal) {
  auto in = make_input(), out = make_pipe(), err = make_pipe();
  for (const auto* pipe : {&in, &out, &err}) {
    if (!*pipe) return pipe->error();
  }
  auto pid = spawn(arguments, {in->read.get(), out->write.get(), err->write.get()}, 0, terminal);
  if (!pid) return pid.error();
  in->read.reset();
  out->write.reset();
  err->write.reset();

  Finished finished;
  auto exchanged = exchange(std::move(in->write), std::move(out->read), std::move(err->read), input,
                            end_by, finished);
  // SIGTERM, so that a prompt's owner gives the terminal its echo back.
  if (!exchanged) ::kill(*pid, SIGTERM);
  int status = 0;
  while (::waitpid(*pid, &status, 0) < 0) {
    // An application that ignores SIGCHLD, or waits for any child.
    if (errno == ECHILD) break;
    if (errno != EINTR) return fail_errno("waiting for " + arguments[0]);
  }
  if (!exchanged) return std::move(exchanged).error().in(arguments[0]);
  finished.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return finished;
}

// What is ignored here is ignored by what is started here; ssh, too, leaves it at that.
Result<Child> Child::start(const std::vector<std::string>& arguments) {
  auto in = make_input(), out = make_pipe();
  for (const auto* pipe : {&in, &out}) {
    if (!*pipe) return pipe->error();
  }
  const auto before = ::signal(SIGINT, SIG_IGN);
  auto pid = spawn(arguments, {in->read.get(), out->write.get(), STDERR_FILENO}, SIGINT);
  ::signal(SIGINT, before);
  if (!pid) return pid.error();
  Child child;
  child.pid_ = *pid;
  child.input = std::move(in->write);
  child.output = std::move(out->read);
  ::fcntl(child.input.get(), F_SETFL, O_NONBLOCK);
  return child;
}

void Child::end() {
  if (pid_ == 0) return;
  input.reset();
  output.reset();
  ::kill(pid_, SIGTERM);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
}

}  // namespace fieldline::cli
