// SPDX-License-Identifier: Apache-2.0
#include "base/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace fieldline {

namespace {

constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool same_bits(const Address& a, const Address& b, unsigned bits) {
  unsigned whole = bits / 8, rest = bits % 8;
  if (!std::equal(a.bytes.begin(), a.bytes.begin() + whole, b.bytes.begin())) return false;
  if (rest == 0) return true;
  auto mask = static_cast<std::uint8_t>(0xff << (8 - rest));
  return (a.bytes[whole] & mask) == (b.bytes[whole] & mask);
}

}  // namespace

bool Address::is_v4() const {
  return std::equal(kMapped.begin(), kMapped.end(), bytes.begin());
}

std::string Address::to_string() const {
  char out[INET6_ADDRSTRLEN];
  if (is_v4()) {
    inet_ntop(AF_INET, bytes.data() + 12, out, sizeof out);
  } else {
    inet_ntop(AF_INET6, bytes.data(), out, sizeof out);
  }
  return out;
}

Result<Address> Address::parse(std::string_view text) {
  std::string copy(text);
  Address address;
  // inet_pton() stops at a NUL and would take what stands before it.
  if (copy.find('\0') != std::string::npos) return fail(Code::invalid, "an address has a NUL byte");
  if (inet_pton(AF_INET, copy.c_str(), address.bytes.data() + 12) == 1) {
    std::copy(kMapped.begin(), kMapped.end(), address.bytes.begin());
    return address;
  }
  if (inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) == 1) return address;
  return fail(Code::invalid, "'" + copy + "' is not an IPv4 or IPv6 address");
}

bool Prefix::contains(const Address& other) const {
  return same_bits(address, other, length);
}

bool Prefix::contains(const Prefix& other) const {
  return other.length >= length && same_bits(address, other.address, length);
}

std::string Prefix::to_string() const {
  bool v4 = address.is_v4() && length >= 96;
  if (length == 128) return address.to_string();
  return address.to_string() + "/" + std::to_string(v4 ? length - 96 : length);
}

Result<Prefix> Prefix::parse(std::string_view text) {
  auto slash = text.find('/');
  auto address = Address::parse(text.substr(0, slash));
  if (!address) return address.error();
  Prefix prefix{*address, 128};
  if (slash == std::string_view::npos) return prefix;

  std::string_view digits = text.substr(slash + 1);
  unsigned length = 0, most = address->is_v4() ? 32 : 128;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc{} || end != digits.data() + digits.size() || length > most) {
    return fail(Code::invalid, "'" + std::string(text) +
                                   "': the prefix length is a number from 0 to " +
                                   std::to_string(most));
  }
  prefix.length = static_cast<std::uint8_t>(length + (128 - most));
  Address masked;
  for (unsigned bit = 0; bit < prefix.length; ++bit) {
    auto& byte = masked.bytes[bit / 8];
    byte = static_cast<std::uint8_t>(byte | (address->bytes[bit / 8] & (0x80 >> bit % 8)));
  }
  if (masked != *address) {
    prefix.address = masked;
    return fail(Code::invalid, "'" + std::string(text) + "' has bits behind its prefix; write " +
                                   prefix.to_string());
  }
  return prefix;
}

}  // namespace fieldline
