// SPDX-License-Identifier: Apache-2.0
#include "lib/pairs.h"

#include <algorithm>

namespace fieldline::lib {

namespace {

// Behind the opening quote; up to and with the closing one.
Result<std::string> take_quoted(std::string_view& rest) {
  std::string value;
  for (std::size_t i = 0; i < rest.size(); ++i) {
    if (rest[i] == '"') {
      rest.remove_prefix(i + 1);
      return value;
    }
    const bool escapes = rest[i] == '\\';
    if (escapes && (i + 1 == rest.size() || (rest[i + 1] != '"' && rest[i + 1] != '\\')))
      return fail(Code::invalid, "pairs: behind '\\' stands neither '\"' nor '\\'");
    value += rest[escapes ? ++i : i];
  }
  return fail(Code::invalid, "pairs: a quote without its end");
}

std::string take_bare(std::string_view& rest) {
  const auto end = std::min(rest.find(' '), rest.size());
  std::string value(rest.substr(0, end));
  rest.remove_prefix(end);
  return value;
}

}  // namespace

Result<Pairs> parse_pairs(std::string_view rest) {
  Pairs pairs;
  for (;;) {
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    if (rest.empty()) return pairs;
    const auto equals = rest.find('=');
    if (equals == 0 || equals >= rest.find(' ')) {
      return fail(Code::invalid, "pairs: '" + std::string(rest.substr(0, 32)) +
                                     "' is not key=value; a value with spaces stands in quotes");
    }
    std::string key(rest.substr(0, equals));
    rest.remove_prefix(equals + 1);
    if (!rest.starts_with('"')) {
      pairs.emplace_back(std::move(key), take_bare(rest));
      continue;
    }
    rest.remove_prefix(1);
    auto value = take_quoted(rest);
    if (!value) return value.error();
    if (!rest.empty() && rest.front() != ' ')
      return fail(Code::invalid, "pairs: behind a closing quote stands a space");
    pairs.emplace_back(std::move(key), std::move(*value));
  }
}

}  // namespace fieldline::lib
