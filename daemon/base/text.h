// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them, and text of others made safe for a terminal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fieldline {

std::string grouped(std::uint64_t count);  // "1,840,312"
std::string rate_text(double bits);        // a second: "2.19 Gb/s"
// Control bytes, C1 among them, become '?': names come from other people's machines.
std::string printable(std::string_view text);
// The same for messages, whose lines stay lines.
std::string printable_lines(std::string_view text);

}  // namespace fieldline
