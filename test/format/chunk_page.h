// SPDX-License-Identifier: Apache-2.0
// The worked example of docs/format/chunk.md, read from the page.
#pragma once

#include <catch2/catch.hpp>
#include <sstream>
#include <string>

#include "base/bytes.h"
#include "base/file.h"

namespace fieldline::test {

// The bytes of the fenced blocks named hex: an offset, two spaces, bytes.
inline Bytes bytes_of_chunk_page() {
  std::istringstream page(read_file("docs/format/chunk.md").value());
  Bytes bytes;
  bool inside = false;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("```")) {
      inside = !inside && line == "```hex";
      continue;
    }
    if (!inside) continue;
    REQUIRE(std::stoul(line.substr(0, 4), nullptr, 16) == bytes.size());
    std::istringstream rest(line.substr(4));
    for (std::string byte; rest >> byte;) {
      REQUIRE(byte.size() == 2);
      bytes.push_back(static_cast<std::uint8_t>(std::stoul(byte, nullptr, 16)));
    }
  }
  return bytes;
}

}  // namespace fieldline::test
