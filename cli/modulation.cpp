// SPDX-License-Identifier: Apache-2.0
#include "cli/modulation.h"

#include <unistd.h>

#include "analysis/modulation.h"
#include "cli/exit_code.h"
#include "cli/text.h"

namespace fieldline::cli {

int modulation(ModulationOptions options, const Result<UserSettings>& settings) {
  options.input.events = true;
  options.input.limits.spacing = true;
  auto analyzer = analyze(options.input, settings);
  if (!analyzer) return analyzer.error();
  const auto report = analysis::judge_modulation((*analyzer)->report());
  const std::string text = options.json ? json_text(analysis::to_json(report), 2) + "\n"
                                        : analysis::to_table(report, has_color(STDOUT_FILENO));
  auto written = write_all(STDOUT_FILENO, text);
  if (!written && written.error().code != Code::closed) return complain(written.error());
  if (!report.flows.empty()) return kOk;
  note("nothing that carries data was seen");
  return kPartial;
}

}  // namespace fieldline::cli
