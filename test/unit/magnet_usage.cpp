// SPDX-License-Identifier: Apache-2.0
#include "cli/magnet/usage.h"

#include <catch2/catch.hpp>
#include <cstdint>
#include <vector>

using namespace fieldline;

namespace {

std::string told(std::vector<std::string> typed) {
  CLI::App app("a tool", "tool");
  std::string file, size, since;
  std::uint64_t number = 0;
  app.add_option("FILE", file)->required();
  app.add_option("SIZE", size);
  app.add_option("--since", since)->type_name("TIME");
  app.add_option("--seed", number)->type_name("N");
  app.add_option("--sockid", number)->type_name("N")->check(cli::whole_number());
  std::vector<std::string> reversed(typed.rbegin(), typed.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    return cli::usage_text(error);
  }
  return "";
}

}  // namespace

TEST_CASE("usage: what was typed wrongly is said in one line with what to do") {
  CHECK(told({"x"}) == "");
  CHECK(told({}) == "FILE is missing: name it");
  CHECK(told({"x", "1M", "more"}) == "'more' is one argument too many: leave it out");
  CHECK(told({"x", "--force"}) == "--force is no option here: leave it out");
  CHECK(told({"x", "--seed", "all"}) == "--seed all: not a number; write one");
  for (const char* wrong : {"all", "-1", "6a", "0x", "0x-1", "ss:6a", "18446744073709551616"})
    CHECK(told({"x", std::string("--sockid=") + wrong}) ==
          "--sockid: '" + std::string(wrong) +
              "' is no number; write one, a hexadecimal one with 0x in front");
  CHECK(told({"x", "--sockid", "0x6a"}) == "");
  CHECK(told({"x", "--since"}) ==
        "--since is given without its value, or with too many: write one behind it");
}
