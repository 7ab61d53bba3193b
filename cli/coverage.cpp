// SPDX-License-Identifier: Apache-2.0
#include "cli/coverage.h"

#include <unistd.h>

#include "analysis/coverage.h"
#include "cli/exit_code.h"
#include "cli/text.h"

namespace fieldline::cli {

int coverage(const CoverageOptions& options, const Result<UserSettings>& settings) {
  auto analyzer = analyze(options.input, settings);
  if (!analyzer) return analyzer.error();
  const auto report = (*analyzer)->report();
  const std::string text = options.json
                               ? json_text(analysis::coverage_to_json(report), 2) + "\n"
                               : analysis::coverage_to_table(report, has_color(STDOUT_FILENO));
  auto written = write_all(STDOUT_FILENO, text);
  if (!written && written.error().code != Code::closed) return complain(written.error());
  return report.complete ? kOk : kPartial;
}

}  // namespace fieldline::cli
