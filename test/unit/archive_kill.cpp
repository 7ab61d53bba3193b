// SPDX-License-Identifier: Apache-2.0
// A child process stores items and reports what is safe over a pipe; it is killed at a random
// moment, again and again on the same archive.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <random>

#include "archive_fixture.h"

using namespace fieldline;
using namespace fieldline::test;

namespace {

const RunId kRun = id_of(0xa1), kOther = id_of(0xa2), kSession = id_of(0x51);
constexpr std::uint64_t kChunkBytes = 256 << 10;

// Never returns to Catch. Each line of the pipe is one number: first where it resumes, then what is
// safe.
[[noreturn]] void child(const std::string& directory, int pipe) {
  const Bytes data = frame("10.0.0.1", "10.0.3.2", 40000, 5201);
  auto tell = [&](std::uint64_t number) {
    if (::write(pipe, &number, sizeof number) != sizeof number) ::_exit(3);
  };
  archive::Options options{directory, kChunkBytes, nullptr};
  auto archive = archive::Archive::open(options);
  if (!archive) ::_exit(4);
  auto resume = (*archive)->open_session(kSession, "SHA256:key", "s1", "site-a");
  if (!resume) ::_exit(5);
  tell(*resume);
  for (std::uint64_t n = *resume + 1; n < *resume + 200'000; ++n) {
    auto stored = n == 1 ? (*archive)->append(kSession, configuration(n).report())
                         : (*archive)->append(kSession, record(n % 2 ? kRun : kOther, n, data));
    if (!stored) ::_exit(6);
    if (n % 64 != 0) continue;
    if (!(*archive)->sync([&](const RunId&, std::uint64_t sequence) { tell(sequence); }))
      ::_exit(7);
  }
  ::_exit(0);
}

// Reads numbers until `end` of them came or nothing comes for a while; gives the last.
struct Told {
  std::uint64_t first = 0, last = 0;
  std::size_t count = 0;

  void read(int pipe, std::size_t enough) {
    std::uint64_t number;
    pollfd ready{pipe, POLLIN, 0};
    while (count<enough&& ::poll(&ready, 1, 10'000)> 0 &&
           ::read(pipe, &number, sizeof number) == sizeof number) {
      if (count++ == 0) first = number;
      last = number;
    }
  }
};

}  // namespace

TEST_CASE(
    "killed 50 times at random moments: what was safe is there once, and the session goes on") {
  TempDir dir;
  std::mt19937 random(std::random_device{}());
  std::uint64_t safe = 0;
  for (int round = 0; round < 50; ++round) {
    int pipe[2];
    REQUIRE(::pipe2(pipe, O_CLOEXEC) == 0);
    pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) child(dir.path(), pipe[1]);
    ::close(pipe[1]);
    Told told;
    told.read(pipe[0], 2 + random() % 20);  // alive and storing; the kill lands anywhere behind
    for (volatile std::uint64_t turn = random() % 2'000'000; turn > 0;) turn = turn - 1;
    ::kill(pid, SIGKILL);
    told.read(pipe[0], SIZE_MAX);
    ::close(pipe[0]);
    int status = 0;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    REQUIRE(WIFSIGNALED(status));
    INFO("round " << round << ", safe before " << safe);
    REQUIRE(told.count >= 2);
    REQUIRE(told.first >= safe);
    safe = told.last;
  }
  auto archive = open_archive(dir.path(), kChunkBytes);
  std::uint64_t last = open_session(*archive, kSession);
  REQUIRE(last >= safe);
  for (const RunId& run : {kRun, kOther}) {
    auto answer = ask(*archive, run);
    std::vector<std::uint64_t> wanted;
    for (std::uint64_t n = run == kRun ? 3 : 2; n <= last; n += 2) wanted.push_back(n);
    REQUIRE((answer.sequences() == wanted));
    REQUIRE(answer.skipped_bytes == 0);
  }
  REQUIRE(archive->reindex()->at("records") == last - 1);
}
