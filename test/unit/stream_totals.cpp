// SPDX-License-Identifier: Apache-2.0
// What an archive demands of port totals before it keeps them.
#include <catch2/catch.hpp>

#include "base/port_totals.h"
#include "stream/frame.h"

namespace fieldline::stream {
namespace {

Bytes totals() {
  TotalsWriter writer({}, {0, 1});
  writer.add({1000, 10}, std::vector<PortTotal>{{1, 64}, {2, 3000}});
  const ByteView body = writer.end();
  return {body.begin(), body.end()};
}

Result<Item> check(ByteView body, const RunId& run = {}, std::uint32_t count = 1,
                   std::uint8_t encoding = FL_ENCODING_BINARY) {
  static Bytes frame;  // the item's body is a view of it
  frame = encode_durable(FL_FRAME_PORT_TOTALS, encoding, 7, run, count, body);
  return check_item({frame[0], frame[1], ByteView(frame).subspan(sizeof(fl_frame_header))});
}

TEST_CASE("port totals are one item of no run") {
  const auto item = check(totals());
  REQUIRE(item.has_value());
  CHECK(item->sequence == 7);
  CHECK(item->run.is_zero());
  RunId run;
  run.bytes[3] = 1;
  CHECK_FALSE(check(totals(), run).has_value());
  CHECK_FALSE(check(totals(), {}, 2).has_value());
  CHECK_FALSE(check(totals(), {}, 1, FL_ENCODING_JSON).has_value());
}

TEST_CASE("port totals that were cut or grown are refused") {
  Bytes body = totals();
  for (std::size_t cut = 0; cut < body.size(); ++cut)
    CHECK_FALSE(check(ByteView(body).first(cut)).has_value());
  body.push_back(0);
  CHECK_FALSE(check(body).has_value());
}

TEST_CASE("port totals of a later version are kept as they are") {
  Bytes body = totals();
  body[1] = FL_TOTALS_VERSION + 1;
  body.resize(40);
  CHECK(check(body).has_value());
}

}  // namespace
}  // namespace fieldline::stream
