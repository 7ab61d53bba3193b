// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cstring>

#include "base/bytes.h"
#include "base/result.h"

namespace fieldline {

Error fail_errno(const std::string& what) {
  return fail(Code::io, what + ": " + std::strerror(errno));
}

std::string to_hex(ByteView bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(bytes.size() * 2);
  for (auto byte : bytes) {
    hex += digits[byte >> 4];
    hex += digits[byte & 15];
  }
  return hex;
}

namespace {

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

Result<void> from_hex(std::string_view hex, std::span<std::uint8_t> out) {
  if (hex.size() != out.size() * 2) {
    return fail(Code::invalid, "expected " + std::to_string(out.size() * 2) +
                                   " hexadecimal digits, found " + std::to_string(hex.size()));
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    int high = digit_of(hex[2 * i]), low = digit_of(hex[2 * i + 1]);
    if (high < 0 || low < 0) return fail(Code::invalid, "not a hexadecimal digit");
    out[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return {};
}

std::string to_base64(ByteView bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = bytes[i] << 16;
    if (n > 1) group |= bytes[i + 1] << 8;
    if (n > 2) group |= bytes[i + 2];
    for (std::size_t k = 0; k < 4; ++k) {
      out += k <= n ? kBase64[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return out;
}

Result<Bytes> from_base64(std::string_view text) {
  Bytes out;
  std::uint32_t group = 0;
  int bits = 0;
  std::size_t padding = 0;
  for (char c : text) {
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t') continue;
    if (c == '=') {
      ++padding;
      continue;
    }
    auto at = kBase64.find(c);
    if (at == std::string_view::npos || padding > 0) return fail(Code::invalid, "not base64");
    group = group << 6 | static_cast<std::uint32_t>(at);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out.push_back(static_cast<std::uint8_t>(group >> bits));
    }
  }
  // What is left of the last group says how much padding there may be; none at all is accepted too.
  const std::size_t whole = bits == 4 ? 2 : bits == 2 ? 1 : 0;
  if (bits >= 6 || (group & ((1u << bits) - 1)) != 0 || (padding != 0 && padding != whole)) {
    return fail(Code::invalid, "not base64");
  }
  return out;
}

}  // namespace fieldline
