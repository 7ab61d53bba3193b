// SPDX-License-Identifier: Apache-2.0
// magnet-parse's work: traces in, events out, what does not check reported.
#pragma once

#include <string>
#include <vector>

#include "cli/magnet/event_filter.h"
#include "cli/magnet/event_sink.h"

namespace fieldline::cli {

struct ParseOptions {
  std::vector<std::string> files;
  EventFilter filter;
  bool json = false;
  TimeColumn time = TimeColumn::seconds;
  std::string ctf;     // folder; empty: none
  std::string chrome;  // file; empty: none
};

// The exit code. Results go to `output`, unless a folder or file is asked for.
int parse(ParseOptions& options, int output);

}  // namespace fieldline::cli
