// SPDX-License-Identifier: Apache-2.0
// Whose a grant is that comes without its trigger.
#include <catch2/catch.hpp>

#include "sense/grant_holder.h"
#include "sense_support.h"

using namespace fieldline;
using namespace fieldline::test;

namespace {

struct Shown {
  Sender sender;
  Bytes grant = sense::encode(sender.grant);
  sense::Signature signature = sender.user.sign_grant(grant);
  std::string signers = sender.user.line("ops@site-a", "namespaces=\"grant@fieldline\"");

  Result<sense::GrantHolder> check(std::uint64_t now = kNow, std::uint64_t grace = 0) const {
    return sense::check_grant(grant, signature, sense::Trust::parse(signers), now, grace);
  }
  Code code(std::uint64_t now = kNow, std::uint64_t grace = 0) const {
    auto checked = check(now, grace);
    REQUIRE_FALSE(checked.has_value());
    return checked.error().code;
  }
};

}  // namespace

TEST_CASE("a grant is its signer's, within its time and the grace behind it") {
  Shown shown;
  auto holder = shown.check();
  REQUIRE(holder.has_value());
  CHECK(holder->principal == "ops@site-a");
  CHECK(holder->grant.run == shown.sender.grant.run);
  CHECK(holder->grant.run_key == shown.sender.grant.run_key);
  const std::uint64_t end = shown.sender.grant.not_after_ns;
  CHECK(shown.check(end).has_value());
  CHECK(shown.code(end + 1) == Code::denied);
  CHECK(shown.check(end + 60 * kSecond, 60 * kSecond).has_value());
  CHECK(shown.code(end + 61 * kSecond, 60 * kSecond) == Code::denied);
  CHECK(shown.check(kNow - 5 * kSecond).has_value());
  CHECK(shown.code(kNow - 6 * kSecond) == Code::denied);
}

TEST_CASE("a grant that nobody of ours signed for this is denied") {
  Shown shown;
  shown.signers = TestKey::from_seed(9).line("other@site-b");
  CHECK(shown.code() == Code::denied);
  shown = Shown();
  shown.signers = shown.sender.user.line("ops@site-a", "namespaces=\"query@fieldline\"");
  CHECK(shown.code() == Code::denied);
  shown = Shown();
  shown.signature[5] ^= 1;
  CHECK(shown.code() == Code::denied);
  shown = Shown();
  shown.signature = shown.sender.user.sign_grant(shown.grant, "query@fieldline");
  CHECK(shown.code() == Code::denied);
  shown = Shown();
  shown.grant[10] ^= 1;  // the run
  CHECK(shown.code() == Code::denied);
}

TEST_CASE("a grant of any other length, and one with a weak key, are no grants") {
  Shown shown;
  const Bytes whole = shown.grant;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    shown.grant.assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    CHECK_FALSE(shown.check().has_value());
  }
  shown.sender.grant.run_key = {1};  // the identity element: anything verifies under it
  shown.grant = sense::encode(shown.sender.grant);
  shown.signature = shown.sender.user.sign_grant(shown.grant);
  CHECK(shown.code() == Code::denied);
}
