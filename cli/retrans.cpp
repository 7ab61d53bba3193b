// SPDX-License-Identifier: Apache-2.0
#include "cli/retrans.h"

#include <unistd.h>

#include "analysis/retrans.h"
#include "cli/exit_code.h"
#include "cli/figures.h"
#include "cli/text.h"

namespace fieldline::cli {
namespace {

constexpr std::size_t kRows = 20;

}  // namespace

int retrans(const RetransOptions& options, const Result<UserSettings>& settings) {
  if (auto plot = check_plot(options.plot); !plot) return complain(plot.error(), kUsage);
  AnalyzeOptions input = options.input;
  input.limits.sequences = !options.plot.empty();
  input.events = true;
  auto analyzer = analyze(input, settings);
  if (!analyzer) return analyzer.error();
  const auto report = analysis::judge_retransmissions((*analyzer)->report());
  const std::string text = options.json ? json_text(analysis::to_json(report), 2) + "\n"
                                        : analysis::to_table(report, options.all ? SIZE_MAX : kRows,
                                                             has_color(STDOUT_FILENO));
  if (auto drawn = draw(report, options.plot); !drawn) return complain(drawn.error());
  auto written = write_all(STDOUT_FILENO, text);
  if (!written && written.error().code != Code::closed) return complain(written.error());
  return report.path.complete || !options.check ? kOk : kPartial;
}

}  // namespace fieldline::cli
