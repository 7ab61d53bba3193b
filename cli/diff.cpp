// SPDX-License-Identifier: Apache-2.0
#include "cli/diff.h"

#include <unistd.h>

#include "analysis/diff.h"
#include "cli/exit_code.h"
#include "cli/text.h"

namespace fieldline::cli {

int diff(const DiffOptions& options, const Result<UserSettings>& settings) {
  std::vector<analysis::WhyReport> runs;
  for (const std::string& run : {options.before, options.after}) {
    AnalyzeOptions input{{run}, "", true, {}};
    input.limits.waits = true;
    auto analyzer = analyze(input, settings);
    if (!analyzer) return analyzer.error();
    runs.push_back(analysis::judge_waiting((*analyzer)->report()));
  }
  const auto report = analysis::compare(runs[0], runs[1]);
  const std::string text = options.json ? json_text(analysis::to_json(report), 2) + "\n"
                                        : analysis::to_table(report, has_color(STDOUT_FILENO));
  auto written = write_all(STDOUT_FILENO, text);
  if (!written && written.error().code != Code::closed) return complain(written.error());
  return kOk;
}

}  // namespace fieldline::cli
