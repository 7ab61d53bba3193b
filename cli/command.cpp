// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace fieldline::cli {
namespace {

// From the keeper; smaller than PIPE_BUF, so that each comes whole.
struct News {
  enum class What : int { pid, cgroup_error, exec_error, status };
  What what;
  int value;
};

void tell(int fd, News::What what, int value) {
  const News news{what, value};
  // A reader that is gone needs no news.
  [[maybe_unused]] ssize_t n = ::write(fd, &news, sizeof news);
}

// SIGPIPE is ignored by this program and would be by the command.
[[noreturn]] void become(char** argv, const sigset_t& mask, int cgroup, int news) {
  if (cgroup >= 0 && ::write(cgroup, "0", 1) != 1) tell(news, News::What::cgroup_error, errno);
  tell(news, News::What::pid, ::getpid());
  ::signal(SIGPIPE, SIG_DFL);
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  ::execvp(argv[0], argv);
  const int error = errno;
  tell(news, News::What::exec_error, error);
  ::_exit(error == ENOENT ? kNotFound : kNotStarted);
}

// What is open here is the command's or this program's: a reader of the command's output must see
// its end with it.
void let_go_of_files(int news) {
  ::close_range(3, static_cast<unsigned>(news) - 1, 0);
  ::close_range(static_cast<unsigned>(news) + 1, ~0u, 0);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < 3 && null >= 0; ++fd) ::dup2(null, fd);
}

// All signals stay blocked: Ctrl-C is the command's to answer.
[[noreturn]] void keep(char** argv, const sigset_t& mask, const Cgroup* cgroup, int news) {
  ::prctl(PR_SET_NAME, "fieldline-run");
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const pid_t command = ::fork();
  if (command == 0) become(argv, mask, cgroup ? cgroup->processes() : -1, news);
  if (command < 0) tell(news, News::What::exec_error, errno);
  let_go_of_files(news);
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, 0);
    if (pid < 0 && errno != EINTR) break;
    if (pid == command) tell(news, News::What::status, status);
  }
  if (cgroup) ::rmdir(cgroup->path().c_str());
  ::_exit(0);
}

}  // namespace

Result<Command> Command::start(const std::vector<std::string>& arguments, const sigset_t& mask,
                               const Cgroup* cgroup) {
  std::vector<char*> argv;
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("making a pipe");
  Command command;
  command.news_ = Fd(ends[0]);
  Fd write_end(ends[1]);
  ::fcntl(command.news_.get(), F_SETFL, O_NONBLOCK);

  sigset_t all, before;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before);
  command.keeper_ = ::fork();
  if (command.keeper_ == 0) keep(argv.data(), mask, cgroup, write_end.get());
  const int error = errno;
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  if (command.keeper_ < 0) return fail_errno("starting a process for the command");
  return command;
}

void Command::take() {
  News news{};
  ssize_t n = 0;
  while ((n = ::read(news_.get(), &news, sizeof news)) == sizeof news) {
    switch (news.what) {
      case News::What::pid:
        pid_ = news.value;
        break;
      case News::What::cgroup_error:
        cgroup_error_ = news.value;
        break;
      case News::What::exec_error:
        exec_error_ = news.value;
        break;
      case News::What::status:
        status_ = news.value;
        break;
    }
  }
  const bool end = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
  if (!end || all_ended_) return;
  all_ended_ = true;
  news_.reset();
  while (::waitpid(keeper_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// The keeper reaps it: between its end and our knowing of it the number could be another's, as for
// every process that signals one that is not its child; pid_max numbers must go by meanwhile.
void Command::signal(int number) const {
  if (pid_ > 0 && !status_) ::kill(pid_, number);
}

int exit_status(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

}  // namespace fieldline::cli
