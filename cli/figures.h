// SPDX-License-Identifier: Apache-2.0
// What --plot draws of each report.
#pragma once

#include "analysis/owd.h"
#include "analysis/retrans.h"
#include "cli/plot.h"

namespace fieldline::cli {

// Delay over time, a panel for each section and direction.
Figure figure_of(const analysis::PathReport& report);  // as the clocks have it
Figure figure_of(const analysis::OwdReport& report);   // corrected
// Time and sequence, as tcptrace draws it: a panel for each of the flows that sent most again.
Figure figure_of(const analysis::RetransReport& report);

// A figure that nobody asked for is not made either.
template <class Report>
Result<void> draw(const Report& report, const std::string& file) {
  return file.empty() ? Result<void>() : draw(figure_of(report), file);
}

}  // namespace fieldline::cli
