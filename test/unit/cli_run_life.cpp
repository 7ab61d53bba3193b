// SPDX-License-Identifier: Apache-2.0
// Whether anything more is to be expected of a followed run whose sensors may have been killed.
#include "cli/run_life.h"

#include <catch2/catch.hpp>

#include "proto/frame.h"

using namespace fieldline::cli;
using nlohmann::json;

namespace {

constexpr std::uint64_t kSecond = 1'000'000'000, kNotAfter = 1000 * kSecond;

json report(const char* session, const char* event) {
  return {{"event", event},
          {"session", session},
          {"sensor", session},
          {"role", "sensor"},
          {"grant", {{"not_after_ns", kNotAfter}}}};
}

struct Run {
  RunLife life;
  void started(const char* session, std::uint64_t at_s) {
    life.take(FL_FRAME_ACTIVATION, report(session, "started"), at_s * kSecond);
  }
  void counts(const char* session, bool final, std::uint64_t at_s) {
    json document = {{"session", session}, {"sensor", session}, {"final", final}};
    life.take(FL_FRAME_FINAL_COUNTS, document, at_s * kSecond);
  }
  bool is_over(std::uint64_t at_s, std::uint64_t utc_s = 500) const {
    return life.is_over(0, at_s * kSecond, utc_s * kSecond);
  }
};

}  // namespace

TEST_CASE("a killed sensor's run is over when others have ended and nothing comes any more") {
  Run run;
  run.started("s1", 1);
  run.started("s2", 1);
  run.counts("s2", false, 5);  // its last word
  for (std::uint64_t at = 5; at < 60; ++at) run.counts("s1", false, at);
  CHECK_FALSE(run.is_over(60));
  CHECK(run.life.silent(60 * kSecond) == std::vector<std::string>{"s2"});
  run.counts("s1", true, 60);
  CHECK_FALSE(run.is_over(75));
  CHECK(run.is_over(76));
  CHECK(run.life.without_final_counts() == std::vector<std::string>{"s2"});
}

TEST_CASE("where nobody ends, the grant's end bounds the wait, and silence is told before") {
  Run run;
  run.started("s1", 1);
  CHECK(run.life.silent(16 * kSecond).empty());
  CHECK(run.life.silent(17 * kSecond) == std::vector<std::string>{"s1"});
  CHECK_FALSE(run.is_over(400, 999));
  CHECK(run.is_over(400, 1001));
  const std::string before = run.life.silence_text("s1", 999 * kSecond);
  CHECK(before.find("may come back until the grant ends, 1970-01-01T00:16:40Z") !=
        std::string::npos);
  CHECK(run.life.silence_text("s1", 1001 * kSecond) == "no word of s1 for 15 s: killed or cut off");
}

TEST_CASE("what comes late, or back, keeps a run alive beyond its grant") {
  Run run;
  run.started("s1", 1);
  run.life.hear(390 * kSecond);  // packets of a backlog, no report
  CHECK_FALSE(run.is_over(400, 1001));
  CHECK(run.is_over(406, 1001));
  run.started("again", 410);
  CHECK_FALSE(run.is_over(420, 1001));
  CHECK(run.life.is_on("again"));
  run.counts("again", true, 421);
  CHECK_FALSE(run.life.is_on("again"));
}

TEST_CASE("a host brings no packets, and its silence is told as a sensor's") {
  Run run;
  json host = report("h", "started");
  host["role"] = "host";
  run.life.take(FL_FRAME_ACTIVATION, host, kSecond);
  run.counts("h", false, 2);  // says no role
  CHECK_FALSE(run.life.is_on("h"));
  CHECK(run.life.silent(60 * kSecond) == std::vector<std::string>{"h"});
}
