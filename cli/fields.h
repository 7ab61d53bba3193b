// SPDX-License-Identifier: Apache-2.0
// Members of JSON documents that others wrote: a member that is missing or of another kind reads as
// empty.
#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

namespace fieldline::cli {

inline const nlohmann::json& member(const nlohmann::json& document, const char* name) {
  static const nlohmann::json none;
  if (!document.is_object()) return none;
  auto found = document.find(name);
  return found == document.end() ? none : *found;
}
inline std::string string_at(const nlohmann::json& document, const char* name) {
  const auto& value = member(document, name);
  return value.is_string() ? value.get<std::string>() : std::string();
}
inline std::uint64_t number_at(const nlohmann::json& document, const char* name) {
  const auto& value = member(document, name);
  bool fits =
      value.is_number_unsigned() || (value.is_number_integer() && value.get<std::int64_t>() >= 0);
  return fits ? value.get<std::uint64_t>() : 0;
}
inline bool true_at(const nlohmann::json& document, const char* name) {
  const auto& value = member(document, name);
  return value.is_boolean() && value.get<bool>();
}

}  // namespace fieldline::cli
