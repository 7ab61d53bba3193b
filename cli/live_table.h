// SPDX-License-Identifier: Apache-2.0
// The table of `fieldline ping`: one line a sensor, in path order.
#pragma once

#include <string>
#include <vector>

#include "analysis/path.h"
#include "cli/board.h"
#include "cli/plan.h"

namespace fieldline::cli {

// One run as it stands now.
struct RunView {
  RunId run;
  std::uint8_t protocol = 0;
  std::size_t pairs = 0;  // asked for
  analysis::PathReport report;
  RunBoard board;
};

// domain_of: what sensors' configuration says, for those that saw no packet.
std::string render_run(const RunView& view, const Board& board);

// Draws over what it drew before; only for a terminal.
class LiveScreen {
 public:
  explicit LiveScreen(int fd) : fd_(fd) {}
  Result<void> draw(const std::string& text);
  // What takes away what is drawn, for text that is written in its place.
  std::string erased();
  void forget() { lines_ = 0; }  // what is drawn stays; the next goes below

 private:
  int fd_;
  std::size_t lines_ = 0;
};

}  // namespace fieldline::cli
