// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <cstdio>

#include <algorithm>

namespace fieldline {

std::string grouped(std::uint64_t count) {
  std::string digits = std::to_string(count);
  for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, ",");
  return digits;
}

std::string printable(std::string_view text) {
  std::string safe = printable_lines(text);
  std::replace(safe.begin(), safe.end(), '\n', '?');
  return safe;
}

std::string printable_lines(std::string_view text) {
  std::string safe(text);
  for (char& c : safe) {
    auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n') || byte == 0x7f || (byte & 0xe0) == 0x80) c = '?';
  }
  return safe;
}

std::string rate_text(double bits) {
  const char* unit = "kb/s";
  double value = bits / 1e3;
  for (const char* next : {"Mb/s", "Gb/s"}) {
    if (value < 1000) break;
    value /= 1e3;
    unit = next;
  }
  char text[64];
  std::snprintf(text, sizeof text, "%.*f %s", unit[0] == 'k' ? 1 : 2, value, unit);
  return text;
}

}  // namespace fieldline
