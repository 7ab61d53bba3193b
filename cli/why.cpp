// SPDX-License-Identifier: Apache-2.0
#include "cli/why.h"

#include <unistd.h>

#include "analysis/why.h"
#include "base/clock.h"
#include "cli/exit_code.h"
#include "cli/text.h"

namespace fieldline::cli {
namespace {

constexpr std::uint64_t kIntervalMin = 1'000'000, kIntervalMax = 3'600'000'000'000;

}  // namespace

int why(WhyOptions options, const Result<UserSettings>& settings) {
  const std::uint64_t interval = parse_duration_ns(options.interval);
  if (interval < kIntervalMin || interval > kIntervalMax) {
    return complain(fail(Code::invalid, "--interval " + options.interval +
                                            ": write a time such as 100ms or 1s, 1ms to 1h"),
                    kUsage);
  }
  options.input.events = true;
  options.input.limits.interval_ns = interval;
  auto analyzer = analyze(options.input, settings);
  if (!analyzer) return analyzer.error();
  const auto report = analysis::judge_waiting((*analyzer)->report());
  const std::string text = options.json ? json_text(analysis::to_json(report), 2) + "\n"
                                        : analysis::to_table(report, is_terminal(STDOUT_FILENO));
  auto written = write_all(STDOUT_FILENO, text);
  if (!written && written.error().code != Code::closed) return complain(written.error());
  return report.flows.empty() ? kPartial : kOk;
}

}  // namespace fieldline::cli
