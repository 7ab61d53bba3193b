// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace fieldline {

// 16 random bytes that name a run; printed as 32 hexadecimal digits, users type a unique prefix.
struct RunId {
  std::array<std::uint8_t, 16> bytes{};

  auto operator<=>(const RunId&) const = default;
  bool is_zero() const { return *this == RunId{}; }
  std::string hex() const { return to_hex(bytes); }
  std::string brief() const { return hex().substr(0, 6); }
  static Result<RunId> parse(std::string_view hex) {
    RunId id;
    auto parsed = from_hex(hex, id.bytes);
    if (!parsed) return parsed.error();
    return id;
  }
};

}  // namespace fieldline

template <>
struct std::hash<fieldline::RunId> {
  std::size_t operator()(const fieldline::RunId& id) const noexcept {
    std::size_t word;
    std::memcpy(&word, id.bytes.data(), sizeof word);
    return word;
  }
};
