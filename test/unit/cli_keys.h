// SPDX-License-Identifier: Apache-2.0
// SSH keys and an agent of a test's own.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include "cli_result.h"

#include "cli/process.h"
#include "cli/signer.h"

struct KeyFolder {
  KeyFolder() {
    char name[] = "/tmp/fieldline-keys-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~KeyFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  KeyFolder(const KeyFolder&) = delete;

  std::string make(const std::string& name, const std::string& type = "ed25519") const {
    std::string file = path + "/" + name;
    auto made = fieldline::cli::run_process(
        {"ssh-keygen", "-q", "-t", type, "-N", "", "-C", "tester@" + name, "-f", file}, {});
    REQUIRE(made);
    REQUIRE(made->status == 0);
    return file;
  }
  std::string path;
};
