// SPDX-License-Identifier: Apache-2.0
#include "cli/plot.h"

#include <algorithm>
#include <filesystem>
#include <limits>

#include <fmt/format.h>

#include "base/text.h"
#include "cli/process.h"

namespace fieldline::cli {
namespace {

constexpr int kWidth = 1000, kRoom = 70;  // pixels
constexpr std::size_t kPanelsMax = 24;

// Nothing is special within single quotes but the quote itself; names come from other machines.
std::string quoted(const std::string& text) {
  std::string safe = "'";
  for (const char one : printable(text)) safe += one == '\'' ? "''" : std::string(1, one);
  return safe + "'";
}

std::string style_of(const Curve& curve) {
  switch (curve.mark) {
    case Mark::line:
      return "using 1:2 with lines lw 1.2";
    case Mark::band:
      return "using 1:2:3 with filledcurves fs transparent solid 0.25 noborder";
    case Mark::bars:
      return "using 1:2:(0):($3-$2) with vectors nohead lw 1.6";
    case Mark::steps:
      return "using 1:2 with steps lw 1.2";
    case Mark::dots:
      return "using 1:2 with points pt 7 ps 0.35";
    case Mark::cross:
      return "using 1:2 with points pt 2 ps 0.8 lw 1.6";
    case Mark::edge:
      return "using 1:(0.04) axes x1y2 with points pt 2 ps 0.6 lw 1.4";
  }
  return "";
}

std::string data_of(const Curve& curve, const std::string& name) {
  std::string text = name + " << END\n";
  double before = std::numeric_limits<double>::lowest();
  for (const auto& [x, y, z] : curve.values) {
    if (curve.gap > 0 && before > std::numeric_limits<double>::lowest() && x - before > curve.gap)
      text += "\n";
    text += fmt::format("{:.9g} {:.9g} {:.9g}\n", x, y, z);
    before = x;
  }
  return text + "END\n";
}

std::string panel_text(const Panel& panel, std::size_t number) {
  std::string data, plots;
  for (std::size_t at = 0; at < panel.curves.size(); ++at) {
    const Curve& curve = panel.curves[at];
    const std::string name = fmt::format("$d{}_{}", number, at);
    if (curve.values.empty()) continue;
    data += data_of(curve, name);
    plots += fmt::format("{} {} {} lc rgb {} title {}", plots.empty() ? "plot" : ",", name,
                         style_of(curve), quoted(curve.colour), quoted(curve.name));
  }
  if (plots.empty()) plots = "plot 0/0 notitle";
  std::string text = data + "unset arrow\n";
  for (const double x : panel.uprights) {
    text += fmt::format(
        "set arrow from first {0:.9g}, graph 0 to first {0:.9g}, graph 1 nohead dt 2 "
        "lc rgb '#555555'\n",
        x);
  }
  text += fmt::format(
      "set title ' '\nset label 1 {} at graph 0, graph 1 left offset 0,0.8\nset ylabel {}\n",
      quoted(panel.title), quoted(panel.y));
  return text + plots + "\n";
}

struct Extent {
  double from = 0, to = 1;
};

Extent extent_of(const Figure& figure) {
  Extent extent{std::numeric_limits<double>::max(), std::numeric_limits<double>::lowest()};
  for (const Panel& panel : figure.panels) {
    for (const Curve& curve : panel.curves) {
      for (const auto& value : curve.values) {
        extent.from = std::min(extent.from, value[0]);
        extent.to = std::max(extent.to, value[0]);
      }
    }
  }
  if (extent.from > extent.to) return {};
  const double room = std::max((extent.to - extent.from) / 100, 1e-6);
  return {extent.from - room, extent.to + room};
}

}  // namespace

Result<void> check_plot(const std::string& file) {
  if (file.empty()) return {};
  const std::filesystem::path path(file);
  if (path.extension() != ".svg")
    return fail(Code::invalid, "--plot " + file + ": write a name that ends in .svg");
  std::error_code error;
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  if (!std::filesystem::is_directory(folder, error))
    return fail(Code::invalid, "--plot " + file + ": there is no folder " + folder.string());
  auto version = run_process({"gnuplot", "--version"}, {});
  if (!version)
    return fail(Code::not_found, "--plot needs gnuplot; on Debian: apt install gnuplot-nox");
  return {};
}

std::string script_of(const Figure& figure, const std::string& file) {
  const std::size_t panels = std::min(figure.panels.size(), kPanelsMax);
  const Extent extent = extent_of(figure);
  std::string text = fmt::format(
      "set encoding utf8\n"
      "set terminal svg size {},{} noenhanced font 'Arial,12' background rgb 'white'\n"
      "set output {}\n"
      "set multiplot layout {},1 title {} offset 0,-0.3\n"
      "set grid lc rgb '#dddddd'\nset border 3\nset tics nomirror out\n"
      "set key outside right top Left reverse samplen 2\n"
      "set lmargin 11\nset rmargin 30\n"
      "set y2range [0:1]\nset xrange [{:.9g}:{:.9g}]\n",
      kWidth, figure.panel_height * static_cast<int>(std::max<std::size_t>(panels, 1)) + kRoom,
      quoted(file), std::max<std::size_t>(panels, 1),
      quoted(figure.panels.size() > panels ? fmt::format("{} (the first {} of {} parts)",
                                                         figure.title, panels, figure.panels.size())
                                           : figure.title),
      extent.from, extent.to);
  for (std::size_t at = 0; at < panels; ++at) {
    if (at + 1 == panels) text += "set xlabel " + quoted(figure.x) + "\n";
    text += panel_text(figure.panels[at], at);
  }
  return text + "unset multiplot\n";
}

Result<void> draw(const Figure& figure, const std::string& file) {
  if (file.empty()) return {};
  const std::string script = script_of(figure, file);
  // -d: a user's own ~/.gnuplot must not change the picture.
  auto done = run_process({"gnuplot", "-d"}, view(script));
  if (!done) return std::move(done.error()).in("drawing " + file);
  if (done->status != 0) {
    return fail(Code::io, "drawing " + file + ": gnuplot says " + printable_lines(done->err));
  }
  return {};
}

}  // namespace fieldline::cli
