// SPDX-License-Identifier: Apache-2.0
#include "cli/magnet/usage.h"

#include <charconv>
#include <cstdint>

#include "cli/magnet/tool.h"

namespace fieldline::cli {

namespace {

template <class Kind>
bool is(const CLI::ParseError& error) {
  return dynamic_cast<const Kind*>(&error) != nullptr;
}

// What stands behind `mark` in the text; all of it if there is none.
std::string behind(const std::string& text, const std::string& mark) {
  const auto at = text.find(mark);
  return at == std::string::npos ? text : text.substr(at + mark.size());
}

std::string before(const std::string& text, const std::string& mark) {
  return text.substr(0, text.find(mark));
}

}  // namespace

// By CLI11's own texts (2.3): another version's come through as they are.
std::string usage_text(const CLI::ParseError& error) {
  const std::string said = error.what();
  if (is<CLI::RequiredError>(error)) return before(said, " is required") + " is missing: name it";
  if (is<CLI::ConversionError>(error)) {
    const std::string typed = behind(said, "Could not convert: ");
    return before(typed, " = ") + " " + behind(typed, " = ") + ": not a number; write one";
  }
  if (is<CLI::ExtrasError>(error)) {
    const std::string typed = behind(said, "not expected: ");
    if (!typed.starts_with('-')) return "'" + typed + "' is one argument too many: leave it out";
    return before(typed, " ") + " is no option here: leave it out";
  }
  if (is<CLI::ArgumentMismatch>(error)) {
    const std::string option = before(said, ":");
    return option + " is given without its value, or with too many: write one behind it";
  }
  return said;
}

CLI::Validator whole_number() {
  return CLI::Validator(
      [](const std::string& text) -> std::string {
        const bool hexadecimal = text.starts_with("0x");
        const char* const end = text.data() + text.size();
        std::uint64_t value = 0;
        const auto [at, error] =
            std::from_chars(text.data() + (hexadecimal ? 2 : 0), end, value, hexadecimal ? 16 : 10);
        if (error == std::errc() && at == end) return {};
        return "'" + text + "' is no number; write one, a hexadecimal one with 0x in front";
      },
      "");
}

int end_usage(const char* tool, const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) return app.exit(error);
  const auto typed = app.remaining();
  const bool command = is<CLI::RequiredError>(error) && !app.get_subcommands({}).empty();
  const bool unknown = command && !typed.empty() && app.get_subcommands().empty();
  say(tool, (unknown ? "'" + typed.front() + "' is no command" : usage_text(error)) + " (" + tool +
                " --help)");
  return kUsage;
}

}  // namespace fieldline::cli
