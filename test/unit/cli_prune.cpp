// SPDX-License-Identifier: Apache-2.0
#include "cli/runs_prune.h"

#include <catch2/catch.hpp>

#include "cli/exit_code.h"

using namespace fieldline::cli;
using nlohmann::json;

namespace {

json answer_of(const std::vector<std::string>& fates, bool dry_run) {
  json runs = json::array();
  for (std::size_t i = 0; i < fates.size(); ++i) {
    runs.push_back({{"run", std::to_string(i) + "0000000ffff"}, {"fate", fates[i]}});
  }
  return {{"runs", runs}, {"dry_run", dry_run}, {"more", false}};
}

}  // namespace

TEST_CASE("the exit code of a prune says whether all, some or none of it went") {
  CHECK(prune_exit(answer_of({}, true)) == kOk);
  CHECK(prune_exit(answer_of({"deleted", "deleted"}, false)) == kOk);
  CHECK(prune_exit(answer_of({"deleted", "open"}, false)) == kPartial);
  CHECK(prune_exit(answer_of({"open"}, false)) == kPartial);
  CHECK(prune_exit(answer_of({"not_yours"}, false)) == kDenied);
  CHECK(prune_exit(json()) == kOk);
}

TEST_CASE("what stays is named with the reason") {
  auto text = render_prune(answer_of({"deleted", "open", "not_yours"}, true));
  CHECK(text.find("1 run would be deleted") != std::string::npos);
  CHECK(text.find("10000000 stays: it is on") != std::string::npos);
  CHECK(text.find("20000000 stays: it is another's") != std::string::npos);
  CHECK(render_prune(answer_of({"deleted", "deleted"}, false)).find("2 runs deleted") !=
        std::string::npos);
}

TEST_CASE("what was deleted is listed with who or what did it") {
  json answer = {{"deleted",
                  {{{"run", "aabbccddeeff"}, {"reason", "age"}, {"records", 1234}},
                   {{"run", "11223344"}, {"reason", "prune"}, {"by", "ops@site-a\x1b"}}}}};
  auto text = render_deleted(answer);
  CHECK(text.find("aabbccdd") != std::string::npos);
  CHECK(text.find("retention: age") != std::string::npos);
  CHECK(text.find("by ops@site-a") != std::string::npos);
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(render_deleted(json()).find("no run") == 0);
}
