// SPDX-License-Identifier: Apache-2.0
// What is thrown at the end of a command is told, and does not end it.
#include "cli/exit_code.h"

#include <new>
#include <stdexcept>

#include "test/unit/cli_result.h"

using namespace fieldline;
using namespace fieldline::cli;

TEST_CASE("a step that throws gives an error, and one that does not its own outcome") {
  const auto too_big = attempt([]() -> Result<void> { throw std::bad_alloc(); });
  REQUIRE_FALSE(too_big);
  CHECK(too_big.error().code == Code::exhausted);
  CHECK(too_big.error().text().find("out of memory") == 0);
  CHECK(too_big.error().text().find("bug") == std::string::npos);

  const auto wrong = attempt([]() -> Result<void> { throw std::logic_error("odd"); });
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().text().find("a bug: odd; please report") == 0);

  const auto refused = attempt([]() -> Result<void> { return fail(Code::denied, "no"); });
  REQUIRE_FALSE(refused);
  CHECK(refused.error().text() == "no");
  CHECK(attempt([] { return Result<void>(); }).has_value());
}
