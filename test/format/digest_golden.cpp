// SPDX-License-Identifier: Apache-2.0
// The digest of docs/format/lift.md's frame, from its input to a run's digest.
#include "proto/digest.h"

#include <catch2/catch.hpp>

#include "base/run_id.h"
#include "lift_page.h"

namespace fieldline {

TEST_CASE("digest: the page's input gives the page's digests") {
  const Bytes bytes = test::bytes_of_page("docs/format/lift.md", "digest-input");
  fl_digest_input input;
  REQUIRE(bytes.size() == sizeof input);
  std::memcpy(&input, bytes.data(), sizeof input);
  CHECK(input.protocol == 6);
  CHECK(input.transport_len == 32);
  CHECK(input.payload_len == 5);

  const std::uint64_t digest = fl_digest(&input);
  CHECK(to_hex(view_of(big_endian(digest))) == "f8a8798f83d817a6");
  const auto run = RunId::parse("00112233445566778899aabbccddeeff");
  const std::uint64_t keyed = fl_digest_of_run(run->bytes.data(), digest);
  CHECK(to_hex(view_of(big_endian(keyed))) == "fbca1007b1ed2b6f");
}

TEST_CASE("digest: the second step is SipHash-2-4 as published") {
  // Key 00..0f, input 00..07 (Aumasson and Bernstein, 2012).
  std::uint8_t key[16];
  for (std::uint8_t i = 0; i < sizeof key; ++i) key[i] = i;
  CHECK(fl_digest_of_run(key, 0x0706050403020100) == 0x93f5f5799a932462);
}

}  // namespace fieldline
