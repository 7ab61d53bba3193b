// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/plot.h"

using namespace fieldline;
using namespace fieldline::cli;

namespace {

Figure figure() {
  Figure figure{"Delay of 'run' `id`", "time (s)", {}};
  Panel panel;
  panel.title = "-> s1' ; system('id')\nquit - $(id)";
  panel.y = "delay (ms)";
  panel.uprights = {2.5};
  panel.curves = {{"least", Mark::line, "#1f5a99", {{0, 1, 0}, {1, 2, 0}, {9, 3, 0}}, 4},
                  {"band", Mark::band, "#1f5a99", {{0, 1, 2}, {1, 2, 3}}, 0},
                  {"nothing", Mark::dots, "#1f5a99", {}, 0},
                  {"3 lost", Mark::edge, "#c22525", {{0.5, 0, 0}}, 0}};
  figure.panels = {panel, panel};
  return figure;
}

}  // namespace

TEST_CASE("names of other machines are text to gnuplot, not commands") {
  const std::string script = script_of(figure(), "/tmp/it's.svg");
  CHECK(script.find("set output '/tmp/it''s.svg'\n") != std::string::npos);
  CHECK(script.find("set label 1 '-> s1'' ; system(''id'')?quit - $(id)' at graph") !=
        std::string::npos);
  CHECK(script.find("noenhanced") != std::string::npos);
}

TEST_CASE("a line is not drawn over a time without packets, nor a legend for nothing") {
  const std::string script = script_of(figure(), "x.svg");
  CHECK(script.find("1 2 0\n\n9 3 0\n") != std::string::npos);
  CHECK(script.find("'nothing'") == std::string::npos);
  CHECK(script.find("set xrange [-0.09:9.09]") != std::string::npos);
}

TEST_CASE("a figure is a picture of its own, with what it was told to show") {
  const auto folder =
      std::filesystem::temp_directory_path() / ("fieldline-plot-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const std::string file = folder / "it's one.svg";
  REQUIRE(check_plot(file).has_value());
  REQUIRE(draw(figure(), file).has_value());
  std::ifstream stream(file);
  std::stringstream text;
  text << stream.rdbuf();
  const std::string svg = text.str();
  for (const char* part : {"<svg", "</svg>", "delay (ms)", "time (s)", "least", "3 lost", "$(id)"})
    CHECK(svg.find(part) != std::string::npos);
  std::filesystem::remove_all(folder);
}

TEST_CASE("what cannot be drawn is refused before minutes of work, and says what to do") {
  CHECK(check_plot("").has_value());
  CHECK(check_plot("delay.png").error().text().find(".svg") != std::string::npos);
  CHECK(check_plot("/nonexistent/delay.svg").error().text().find("/nonexistent") !=
        std::string::npos);
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", "/nonexistent", 1);
  const auto missing = check_plot("delay.svg");
  ::setenv("PATH", path.c_str(), 1);
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().text().find("apt install gnuplot-nox") != std::string::npos);
}
