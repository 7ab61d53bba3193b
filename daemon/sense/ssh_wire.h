// SPDX-License-Identifier: Apache-2.0
// Strings of the SSH wire format (RFC 4251, section 5): u32 length in network order, then the
// bytes.
#pragma once

#include "base/bytes.h"

namespace fieldline::sense {

inline void append_string(Bytes& to, ByteView what) {
  append_struct(to, big_endian(static_cast<std::uint32_t>(what.size())));
  append(to, what);
}

inline Result<ByteView> take_string(ByteReader& from) {
  auto length = from.take_struct<std::uint32_t>();
  if (!length) return length.error();
  return from.take(big_endian(*length));
}

}  // namespace fieldline::sense
