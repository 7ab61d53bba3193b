// SPDX-License-Identifier: Apache-2.0
// Pictures by gnuplot, which is run as a process (package gnuplot-nox): --plot FILE.svg.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/result.h"

namespace fieldline::cli {

enum class Mark {
  line,   // x, y
  band,   // x, from, to
  bars,   // x, from, to: upright
  steps,  // x, y
  dots,   // x, y
  cross,  // x, y
  edge,   // x: at the lower edge, whatever y is
};

struct Curve {
  std::string name;  // in the legend
  Mark mark = Mark::line;
  std::string colour;  // #rrggbb
  // By x. Where nothing was seen for `gap` a line is not drawn on.
  std::vector<std::array<double, 3>> values;
  double gap = 0;  // 0: none
};

struct Panel {
  std::string title, y;  // y: what is drawn, and its unit
  std::vector<Curve> curves;
  std::vector<double> uprights;  // dashed lines at these x
};

struct Figure {
  std::string title, x;
  std::vector<Panel> panels;  // one below the other, over the same x
  int panel_height = 250;     // pixels
};

// Both do nothing where no file is named. Before minutes of work: whether it can be drawn there at
// all.
Result<void> check_plot(const std::string& file);
Result<void> draw(const Figure& figure, const std::string& file);

// For gnuplot, as a test reads it.
std::string script_of(const Figure& figure, const std::string& file);

}  // namespace fieldline::cli
