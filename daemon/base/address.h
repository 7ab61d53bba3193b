// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace fieldline {

// An IPv6 address, or an IPv4 address as ::ffff:a.b.c.d, in network byte order.
struct Address {
  std::array<std::uint8_t, 16> bytes{};

  auto operator<=>(const Address&) const = default;
  bool is_v4() const;
  std::string to_string() const;  // IPv4 in dotted form
  static Result<Address> parse(std::string_view text);
};

// The first `length` bits (0..128) of an address; IPv4 a.b.c.d/n has length 96 + n.
struct Prefix {
  Address address;
  std::uint8_t length = 128;

  auto operator<=>(const Prefix&) const = default;
  bool contains(const Address& address) const;
  bool contains(const Prefix& other) const;
  std::string to_string() const;
  // "10.0.0.0/8", "2001:db8::/32", or a lone address. Host bits must be zero.
  static Result<Prefix> parse(std::string_view text);
};

}  // namespace fieldline
