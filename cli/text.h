// SPDX-License-Identifier: Apache-2.0
// What commands print: columns, numbers, and text of others made safe for a terminal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "base/text.h"

namespace fieldline::cli {

enum class Align { left, right };
struct Column {
  std::string title;
  Align align = Align::left;
};

// Columns two spaces apart, no space at a line's end. A cell "" in the last columns ends the row
// early.
std::string format_table(const std::vector<Column>& columns,
                         const std::vector<std::vector<std::string>>& rows);

std::string short_count(std::uint64_t count);  // "9,999", "462.1k", "1.8M"
std::string short_duration(std::uint64_t ns);  // "60 s", "1 h 30 min"
std::string milliseconds(std::int64_t ns);     // "23.90"
// A document in ASCII: C1 control characters, too, act on a terminal. indent: -1 for one line.
std::string json_text(const nlohmann::json& document, int indent);
// Cut to so many columns of ASCII.
std::string clipped(std::string_view line, std::size_t width);

// What is typed behind `option`, from `least` to `most`; else what to write: "90s or 10m, up to
// 30d".
Result<std::uint64_t> duration_in(const char* option, const std::string& text, std::uint64_t least,
                                  std::uint64_t most, const char* such);

// The flow of a grant document: "tcp 10.0.0.1 - 10.0.3.2:5201".
std::string grant_text(const nlohmann::json& grant);

struct TerminalSize {
  std::size_t columns = 80, rows = 24;
};
bool is_terminal(int fd);
// Unless NO_COLOR or TERM=dumb say otherwise (no-color.org).
bool has_color(int fd);
TerminalSize terminal_size(int fd);

// All of it to a descriptor; closed if the reader went away.
Result<void> write_all(int fd, std::string_view text);

}  // namespace fieldline::cli
