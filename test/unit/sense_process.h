// SPDX-License-Identifier: Apache-2.0
// OpenSSH as an oracle: programs run in a temporary folder of the test's own.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/file.h"

namespace fieldline::test {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    char pattern[] = "/tmp/fieldline-test-XXXXXX";
    REQUIRE(mkdtemp(pattern) != nullptr);
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  void write(const std::string& name, ByteView bytes) const {
    std::ofstream(*this / name, std::ios::binary) << text(bytes);
  }
  std::string read(const std::string& name) const { return read_file(*this / name).value(); }

 private:
  std::string path_;
};

struct Process {
  std::vector<std::string> command;
  std::string input = "/dev/null";
  std::vector<std::string> environment{};  // NAME=VALUE, added

  // Output and errors go to the file. The caller owns the process.
  pid_t start(const std::string& output) const {
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid > 0) return pid;
    int in = open(input.c_str(), O_RDONLY),
        out = open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0) _exit(126);
    for (const std::string& set : environment) putenv(const_cast<char*>(set.c_str()));
    std::vector<char*> argv;
    for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  int run(const std::string& output) const {
    int status = 0;
    pid_t pid = start(output);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  }
};

}  // namespace fieldline::test
