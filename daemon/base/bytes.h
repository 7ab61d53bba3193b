// SPDX-License-Identifier: Apache-2.0
// Views of bytes, byte order, hex. Nothing here trusts a length.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/result.h"

namespace fieldline {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

inline ByteView view(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The bytes of a layout struct of proto/.
template <class T>
ByteView view_of(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof value};
}

// Network byte order <-> host, for the integer members of proto/ structs.
template <class T>
constexpr T big_endian(T value) {
  static_assert(std::is_unsigned_v<T>);
  if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
  if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
  return value;
}
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "big-endian hosts need big_endian()");

inline void append(Bytes& to, ByteView what) {
  to.insert(to.end(), what.begin(), what.end());
}
template <class T>
requires std::is_trivially_copyable_v<T>
void append_struct(Bytes& to, const T& value) {
  append(to, view_of(value));
}

// Reads from the front of a view; every step is checked against what is left.
class ByteReader {
 public:
  explicit ByteReader(ByteView bytes) : rest_(bytes) {}

  std::size_t left() const { return rest_.size(); }
  ByteView rest() const { return rest_; }

  // The next n bytes, or truncated.
  Result<ByteView> take(std::size_t n) {
    if (n > rest_.size()) {
      return fail(Code::truncated,
                  "needs " + std::to_string(n) + " bytes, has " + std::to_string(rest_.size()));
    }
    ByteView taken = rest_.first(n);
    rest_ = rest_.subspan(n);
    return taken;
  }

  // A layout struct, byte order untouched.
  template <class T>
  Result<T> take_struct() {
    static_assert(std::is_trivially_copyable_v<T>);
    auto bytes = take(sizeof(T));
    if (!bytes) return bytes.error();
    T value;
    std::memcpy(&value, bytes->data(), sizeof value);
    return value;
  }

 private:
  ByteView rest_;
};

std::string to_hex(ByteView bytes);
// Exactly 2 * out.size() hexadecimal digits.
Result<void> from_hex(std::string_view hex, std::span<std::uint8_t> out);
std::string to_base64(ByteView bytes);             // padded, RFC 4648
Result<Bytes> from_base64(std::string_view text);  // white space is skipped

}  // namespace fieldline
