// SPDX-License-Identifier: Apache-2.0
// TOML settings, read strictly: every key that nobody asked for, and every value of the wrong kind,
// is an error with line and column. Problems are collected, so that one look at the file mends them
// all.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fieldline {

class Settings {
 public:
  // name: of the file, for messages. The root table, or the syntax error.
  static Result<Settings> parse(std::string_view toml, const std::string& name);

  bool has(std::string_view key) const;
  std::string string(std::string_view key, std::string fallback = "");
  std::string required_string(std::string_view key);
  std::uint64_t integer(std::string_view key, std::uint64_t fallback, std::uint64_t least,
                        std::uint64_t most);
  bool boolean(std::string_view key, bool fallback);
  std::uint64_t duration_ns(std::string_view key, std::uint64_t fallback_ns);  // "10m"
  std::vector<std::string> strings(std::string_view key);  // one string or an array of them
  std::optional<Settings> table(std::string_view key);     // [key]
  std::vector<Settings> tables(std::string_view key);      // [[key]]

  // A problem of the caller's own with the value of `key`, at its place in the file.
  void complain(std::string_view key, const std::string& text);

  // All problems, one a line, "file:line:column: text"; unknown keys included. Call on the root,
  // after the last get.
  Result<void> finish();

 private:
  struct Document;
  Settings(std::shared_ptr<Document> document, const void* table);
  const void* visit(std::string_view key);

  std::shared_ptr<Document> document_;
  const void* table_ = nullptr;  // toml::table, alive as long as the document
};

}  // namespace fieldline
