// SPDX-License-Identifier: Apache-2.0
// `fieldline ping` whole, in a process of its own, towards a loopback address that nobody else
// uses.
#include "cli/ping.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "base/clock.h"
#include "base/fd.h"
#include "cli/exit_code.h"
#include "cli/sender.h"
#include "cli_keys.h"

using namespace fieldline;
using namespace fieldline::cli;

namespace {

// Signs as ssh-keygen does; while the file `block` is there, once somebody opens `gate` for
// writing.
constexpr const char* kFakeKeygen = R"(#!/bin/sh
here=${0%/*}
if [ -e "$here/block" ]; then
  echo $$ > "$here/asking.new" && mv "$here/asking.new" "$here/asking"
  : < "$here/gate"
fi
PATH=${PATH#*:} exec ssh-keygen "$@"
)";

// Until the condition holds, at most 20 s.
template <class Condition>
bool comes_true(Condition&& condition) {
  for (int tries = 0; tries < 2000; ++tries) {
    if (condition()) return true;
    ::poll(nullptr, 0, 10);
  }
  return false;
}

Fd bound(int type, const SocketAddress& to) {
  Fd fd(::socket(to.family(), type | SOCK_CLOEXEC, 0));
  REQUIRE(::bind(fd.get(), to.get(), to.size) == 0);
  return fd;
}

SocketAddress name_of(const Fd& fd) {
  SocketAddress name;
  REQUIRE(::getsockname(fd.get(), name.get(), &name.size) == 0);
  return name;
}

// The host that is pinged: a TCP service with clients of the test's, and a place for triggers.
struct Host {
  Host() {
    auto id = static_cast<unsigned>(::getpid());
    address =
        *Address::parse("127." + std::to_string(100 + id / 62500 % 100) + "." +
                        std::to_string(1 + id / 250 % 250) + "." + std::to_string(1 + id % 250));
    service = bound(SOCK_STREAM, socket_address(address, 0));
    REQUIRE(::listen(service.get(), 8) == 0);
    triggers = bound(SOCK_DGRAM, socket_address(address, 0));
  }
  Fd client() const {
    auto to = name_of(service);
    Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(fd.get(), to.get(), to.size) == 0);
    return fd;
  }
  // The next trigger within 5 s: half of a pulse's life.
  sense::Trigger trigger() const {
    pollfd one{triggers.get(), POLLIN, 0};
    REQUIRE(::poll(&one, 1, 5000) == 1);
    Bytes bytes(FL_TRIGGER_MAX);
    ssize_t n = ::recv(triggers.get(), bytes.data(), bytes.size(), 0);
    REQUIRE(n > 0);
    bytes.resize(static_cast<std::size_t>(n));
    auto trigger = sense::decode_trigger(bytes);
    REQUIRE(trigger);
    return *trigger;
  }
  Address address;
  Fd service, triggers;
};

struct PingProcess {
  PingProcess(const Host& host, const KeyFolder& folder, const std::string& key) {
    std::string bin = folder.path + "/bin", path = bin + ":" + std::getenv("PATH");
    PingOptions options;
    options.host = host.address.to_string();
    options.terms.port = name_of(host.triggers).port();
    options.terms.for_ns = 60 * kNanosPerSecond;
    options.terms.renew_ns = kRenewMin;
    options.no_archive = options.json = true;
    UserSettings settings;
    settings.identity = key;
    pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid != 0) return;
    int null = ::open("/dev/null", O_RDWR);
    ::dup2(null, 0);
    ::dup2(null, 1);
    ::close_range(3, ~0u, 0);  // the clients are the test's, not this process's own
    ::setenv("PATH", path.c_str(), 1);
    ::_exit(ping(options, settings));
  }
  ~PingProcess() {
    if (pid <= 0) return;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  // The exit code; -1 if it does not end.
  int end() {
    ::kill(pid, SIGINT);
    int status = 0;
    if (!comes_true([&] { return ::waitpid(pid, &status, WNOHANG) == pid; })) return -1;
    pid = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  pid_t pid = -1;
};

struct Keygen {
  explicit Keygen(const KeyFolder& folder) : bin(folder.path + "/bin") {
    std::filesystem::create_directory(bin);
    std::ofstream(bin + "/ssh-keygen") << kFakeKeygen;
    std::filesystem::permissions(bin + "/ssh-keygen", std::filesystem::perms::owner_all);
    REQUIRE(::mkfifo((bin + "/gate").c_str(), 0600) == 0);
  }
  // One that a killed ping left behind goes on, and to its end.
  ~Keygen() { Fd(::open((bin + "/gate").c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC)); }
  Keygen(const Keygen&) = delete;
  void block() const { std::ofstream(bin + "/block").flush(); }
  // The one that waits for somebody.
  pid_t asking() const {
    pid_t pid = 0;
    REQUIRE(comes_true([&] { return std::filesystem::exists(bin + "/asking"); }));
    std::ifstream(bin + "/asking") >> pid;
    REQUIRE(pid > 1);
    return pid;
  }
  void let_go() const {
    std::filesystem::remove(bin + "/block");
    Fd gate(::open((bin + "/gate").c_str(), O_WRONLY | O_CLOEXEC));
    CHECK(gate);
  }
  std::string bin;
};

}  // namespace

TEST_CASE("Pulses go on while ssh-keygen waits for somebody to allow a further grant") {
  KeyFolder folder;
  Host host;
  Keygen keygen(folder);
  std::string key = folder.make("key");
  Fd first = host.client();
  PingProcess ping(host, folder, key);
  auto run = host.trigger().grant.run;

  keygen.block();
  Fd second = host.client();
  pid_t asking = keygen.asking();
  std::uint32_t last = 0;
  for (int pulses = 0; pulses < 30; ++pulses) {
    auto trigger = host.trigger();
    REQUIRE(trigger.grant.run == run);
    REQUIRE(trigger.pulse.sequence > last);
    last = trigger.pulse.sequence;
  }
  CHECK(::kill(asking, 0) == 0);

  keygen.let_go();
  sense::Trigger further;
  REQUIRE(comes_true([&] {
    further = host.trigger();
    return further.grant.run != run;
  }));
  CHECK(further.grant.pairs ==
        std::vector<sense::PortPair>{{name_of(second).port(), name_of(host.service).port()}});
  CHECK(ping.end() == kOk);
}

TEST_CASE("Ctrl-C ends the runs at once while ssh-keygen waits, and leaves no ssh-keygen behind") {
  KeyFolder folder;
  Host host;
  Keygen keygen(folder);
  std::string key = folder.make("key");
  Fd first = host.client();
  PingProcess ping(host, folder, key);
  auto run = host.trigger().grant.run;
  keygen.block();
  Fd second = host.client();
  pid_t asking = keygen.asking();

  CHECK(ping.end() == kOk);
  CHECK(::kill(asking, 0) == -1);
  sense::Trigger last;
  REQUIRE(comes_true([&] {
    last = host.trigger();
    return last.pulse.ends_run();
  }));
  CHECK(last.grant.run == run);
}

TEST_CASE("Ctrl-C leaves while ssh-keygen waits for the first grant") {
  KeyFolder folder;
  Host host;
  Keygen keygen(folder);
  std::string key = folder.make("key");
  Fd first = host.client();
  keygen.block();
  PingProcess ping(host, folder, key);
  pid_t asking = keygen.asking();
  CHECK(ping.end() == kFailure);
  CHECK(::kill(asking, 0) == -1);
}
