// SPDX-License-Identifier: Apache-2.0
#include "cli_skip.h"

#include <cstdio>
#include <cstdlib>
#include <vector>

#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include <catch2/catch.hpp>

namespace {

std::vector<std::string>& reasons() {
  static std::vector<std::string> all;
  return all;
}

struct SkipListener : Catch::TestEventListenerBase {
  using TestEventListenerBase::TestEventListenerBase;
  void testRunEnded(const Catch::TestRunStats& stats) override {
    if (reasons().empty() || stats.totals.testCases.failed > 0) return;
    for (const auto& reason : reasons()) std::printf("SKIP: %s\n", reason.c_str());
    std::fflush(stdout);
    std::_Exit(77);
  }
};
CATCH_REGISTER_LISTENER(SkipListener)

}  // namespace

void skip_test(const std::string& reason) {
  reasons().push_back(reason);
}
