// SPDX-License-Identifier: Apache-2.0
#include "cli/owd.h"

#include <unistd.h>

#include "analysis/owd.h"
#include "cli/exit_code.h"
#include "cli/figures.h"
#include "cli/text.h"

namespace fieldline::cli {

int owd(const OwdOptions& options, const Result<UserSettings>& settings) {
  if (auto plot = check_plot(options.plot); !plot) return complain(plot.error(), kUsage);
  auto analyzer = analyze(options.input, settings);
  if (!analyzer) return analyzer.error();
  const auto report = analysis::measure_one_way((*analyzer)->report());
  const std::string text = options.json ? json_text(analysis::to_json(report), 2) + "\n"
                                        : analysis::to_table(report, has_color(STDOUT_FILENO));
  if (auto drawn = draw(report, options.plot); !drawn) return complain(drawn.error());
  auto written = write_all(STDOUT_FILENO, text);
  if (!written && written.error().code != Code::closed) return complain(written.error());
  return report.whole ? kOk : kPartial;
}

}  // namespace fieldline::cli
