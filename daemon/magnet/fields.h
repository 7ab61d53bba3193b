// SPDX-License-Identifier: Apache-2.0
// The members of each extension, as one table: what every tool prints, and what a CTF trace
// declares.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "proto/magnet.h"

namespace fieldline::magnet {

enum class Layout { sysinfo, lost, open, sock, tcp, packet, others };
constexpr std::size_t kLayouts = 7;

// Which member of the union a record's extension is.
Layout layout_of(std::uint32_t event);
const char* layout_name(Layout layout);

struct Field {
  enum class Kind { number, address, bytes };
  const char* name;
  std::uint8_t offset;  // in the extension
  std::uint8_t size;    // 1, 2, 4 or 8 for a number
  Kind kind = Kind::number;
};

std::span<const Field> fields_of(Layout layout);

// The member at the field; field.kind is number.
std::uint64_t number_at(const magnet_ext& ext, const Field& field);
// As people read it: a number, an address, or hexadecimal digits without the zeros at the end.
std::string text_at(const magnet_ext& ext, const Field& field);

}  // namespace fieldline::magnet
