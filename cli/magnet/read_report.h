// SPDX-License-Identifier: Apache-2.0
// What magnet-read says of itself: a line that moves on a terminal, one at the end, or JSON.
#pragma once

#include <string>

#include "cli/magnet/read_loop.h"

namespace fieldline::cli {

std::string progress_line(const ReadCounts& counts, double file_used);
std::string summary_line(const ReadCounts& counts, const std::string& file, double file_used);
std::string summary_json(const ReadCounts& counts, const std::string& file,
                         const magnet::TraceWriter& writer, std::size_t record_size);

}  // namespace fieldline::cli
