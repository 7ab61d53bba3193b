// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace fieldline::cli {

// CLI11's complaint about what was typed, in one line that says what to do.
std::string usage_text(const CLI::ParseError& error);
// Of an option whose value is a whole number, decimal or hexadecimal behind 0x, without a sign.
CLI::Validator whole_number();
// Says it, or prints --help or --version; the exit code.
int end_usage(const char* tool, const CLI::App& app, const CLI::ParseError& error);

}  // namespace fieldline::cli
