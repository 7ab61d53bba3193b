// SPDX-License-Identifier: Apache-2.0
// The worked example of docs/format/lift.md, made by the classifier.
#include <catch2/catch.hpp>

#include "bench.h"
#include "test/format/lift_page.h"

namespace fieldline {

TEST_CASE("The classifier makes the page's record of the page's frame") {
  const std::string page = "docs/format/lift.md";
  Bench bench({.ports = 2});
  auto any = entry(key_of("192.0.2.1", "198.51.100.2", 6), any_port_mask(true, true), 9);
  bench.apply({default_entry(3), any});
  auto ring = source::Ring::open(bench.map_fd("header_ring"), 1 << 16, sizeof(fl_lift));
  REQUIRE(ring.has_value());
  bench.run(test::bytes_of_page(page, "frame"), 1);
  Bytes record;
  auto drained = (*ring)->drain([&](ByteView bytes) -> Result<void> {
    record.assign(bytes.begin(), bytes.end());
    return {};
  });
  REQUIRE(drained.has_value());
  const Bytes expected = test::bytes_of_page(page, "record");
  REQUIRE(record.size() == expected.size());
  // The time is the machine's, and PROG_TEST_RUN has one queue, 0.
  std::copy_n(expected.begin(), 8, record.begin());
  record[24] = 2;
  CHECK(to_hex(record) == to_hex(expected));
}

}  // namespace fieldline
