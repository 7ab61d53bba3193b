// SPDX-License-Identifier: Apache-2.0
// Where this process's cgroup is, and a command in one of its own.
#include "cli/cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "cli/command.h"
#include "cli/process_tree.h"

using namespace fieldline;
using namespace fieldline::cli;

namespace {

Command start(const std::vector<std::string>& arguments, const Cgroup* cgroup = nullptr) {
  sigset_t mask;
  ::sigprocmask(SIG_SETMASK, nullptr, &mask);
  auto command = Command::start(arguments, mask, cgroup);
  REQUIRE(command.has_value());
  return std::move(*command);
}

// At most 20 s.
template <class Condition>
bool comes_true(Command& command, Condition&& condition) {
  for (int tries = 0; tries < 2000 && !condition(); ++tries) {
    pollfd one{command.fd(), POLLIN, 0};
    ::poll(&one, 1, 10);
    command.take();
  }
  return condition();
}

bool ends(Command& command) {
  return comes_true(command, [&] { return command.all_ended(); });
}

bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

}  // namespace

TEST_CASE("cgroup: found in a v2 mount, beside v1 mounts, in a container's part of it") {
  const std::string v1 = "33 32 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
  const std::string v2 = "42 32 0:38 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
  CHECK(*own_cgroup(v2, "0::/user.slice/a.scope\n") == "/sys/fs/cgroup/user.slice/a.scope");
  CHECK(*own_cgroup(v1 + v2, "4:cpu:/x\n0::/\n") == "/sys/fs/cgroup");
  CHECK(*own_cgroup("1 2 0:38 /box /a\\040b rw - cgroup2 none rw\n", "0::/box/one\n") ==
        "/a b/one");
  CHECK_FALSE(own_cgroup("1 2 0:38 /box /cg rw - cgroup2 none rw\n", "0::/other\n").has_value());
  CHECK_FALSE(own_cgroup(v1, "0::/\n").has_value());
  CHECK_FALSE(own_cgroup(v2, "4:cpu:/x\n").has_value());
  CHECK_FALSE(own_cgroup("", "").has_value());
}

TEST_CASE("command: its exit status, the signal that killed it, and why it was not started") {
  auto command = start({"sh", "-c", "exit 7"});
  REQUIRE(ends(command));
  CHECK(exit_status(*command.status()) == 7);
  command = start({"sh", "-c", "kill -9 $$"});
  REQUIRE(ends(command));
  CHECK(exit_status(*command.status()) == 128 + SIGKILL);
  command = start({"no-such-command"});
  REQUIRE(ends(command));
  CHECK(command.exec_error() == ENOENT);
  CHECK(exit_status(*command.status()) == kNotFound);
}

TEST_CASE("command: it has ended when all that it left behind have") {
  int ends_of[2];
  REQUIRE(::pipe2(ends_of, O_CLOEXEC) == 0);
  Fd read_end(ends_of[0]), write_end(ends_of[1]);
  const std::string from =
      "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(read_end.get());
  // The child in the background reads until the test closes its end; its parent has long ended.
  auto command = start({"sh", "-c", "(cat < " + from + " > /dev/null &) ; exit 4"});
  REQUIRE(comes_true(command, [&] { return command.status().has_value(); }));
  CHECK(exit_status(*command.status()) == 4);
  CHECK_FALSE(command.all_ended());
  CHECK(descendants_of(command.keeper()).size() == 1);
  write_end.reset();
  CHECK(ends(command));
}

TEST_CASE("command: a signal is passed on") {
  auto command = start({"sleep", "50"});
  REQUIRE(comes_true(command, [&] { return command.started(); }));
  command.signal(SIGTERM);
  REQUIRE(ends(command));
  CHECK(exit_status(*command.status()) == 128 + SIGTERM);
}

TEST_CASE("command: it is in its cgroup, which goes with it") {
  auto cgroup = Cgroup::create();
  if (!cgroup) {
    WARN("no cgroup can be made here: " + cgroup.error().text());
    return;
  }
  const std::string path = cgroup->path();
  CHECK(cgroup->id() > 0);
  CHECK(cgroup->descendants() == 0);
  auto command = start({"grep", "-q", path.substr(path.rfind('/')), "/proc/self/cgroup"}, &*cgroup);
  REQUIRE(ends(command));
  CHECK(command.cgroup_error() == 0);
  CHECK(exit_status(*command.status()) == 0);
  CHECK_FALSE(exists(path));
}
