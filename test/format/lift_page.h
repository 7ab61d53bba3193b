// SPDX-License-Identifier: Apache-2.0
// The worked examples of docs/format/lift.md and flow.md, read from the pages: fenced blocks
// "```hex NAME" whose lines are bytes, then perhaps "#" and what they are.
#pragma once

#include <catch2/catch.hpp>
#include <sstream>
#include <string>

#include "base/bytes.h"
#include "base/file.h"

namespace fieldline::test {

inline Bytes bytes_of_page(const std::string& path, const std::string& block) {
  const auto read = read_file(path);
  REQUIRE(read.has_value());
  std::istringstream page(*read);
  std::string hex;
  bool inside = false;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("```")) {
      inside = !inside && line == "```hex " + block;
    } else if (inside) {
      hex += line.substr(0, line.find('#'));
    }
  }
  std::erase(hex, ' ');
  INFO(path << ", block " << block);
  REQUIRE(!hex.empty());
  Bytes bytes(hex.size() / 2);
  REQUIRE(from_hex(hex, bytes).has_value());
  return bytes;
}

}  // namespace fieldline::test
