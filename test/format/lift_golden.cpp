// SPDX-License-Identifier: Apache-2.0
// The worked examples of docs/format/lift.md and flow.md, member by member. test/bpf/page_test.cpp
// shows that the classifier makes the same record of the same frame.
#include "proto/lift.h"

#include <catch2/catch.hpp>

#include "base/address.h"
#include "lift_page.h"

namespace fieldline {
namespace {

using test::bytes_of_page;

fl_flow_key key_between(std::string_view src, std::string_view dst) {
  fl_flow_key key{};
  std::memcpy(key.src, Address::parse(src)->bytes.data(), sizeof key.src);
  std::memcpy(key.dst, Address::parse(dst)->bytes.data(), sizeof key.dst);
  key.protocol = 6;
  return key;
}

template <class T>
std::string hex_of(const T& value) {
  return to_hex(view_of(value));
}

}  // namespace

TEST_CASE("lift: the page's record is the struct, then the frame, then zeros up to 8") {
  fl_lift lift{};
  lift.timestamp_ns = 1'763'766'697'123'456'789;
  lift.digest = 0xf8a8798f83d817a6;
  lift.wire_len = 71;
  lift.cap_len = 66;
  lift.port = 1;
  lift.queue = 2;
  lift.header_len = 66;
  lift.flags = FL_LIFT_ASCENDING;
  lift.direction = FL_FORWARD;
  lift.hits = 2;
  lift.slots[0] = 3;
  lift.slots[1] = 9;
  Bytes expected;
  append_struct(expected, lift);
  const Bytes frame = bytes_of_page("docs/format/lift.md", "frame");
  CHECK(frame.size() == 71);
  append(expected, ByteView(frame).first(66));
  expected.insert(expected.end(), 6, 0);
  CHECK(to_hex(bytes_of_page("docs/format/lift.md", "record")) == to_hex(expected));
}

TEST_CASE("lift: the page's trigger record is the struct, then the trigger") {
  fl_trigger_lift lift{};
  lift.timestamp_ns = 1'763'766'697'123'456'789;
  lift.outer = key_between("192.0.2.1", "198.51.100.2");
  lift.outer.protocol = 17;
  lift.outer.sport = big_endian(std::uint16_t{40000});
  lift.outer.dport = big_endian(std::uint16_t{8620});
  lift.port = 1;
  lift.len = 328;
  CHECK(to_hex(bytes_of_page("docs/format/lift.md", "trigger")) == hex_of(lift));
}

TEST_CASE("flow: the page's key, mask, key in the map and value") {
  fl_flow_key key = key_between("192.0.2.1", "198.51.100.2");
  key.dport = big_endian(std::uint16_t{443});
  CHECK(to_hex(bytes_of_page("docs/format/flow.md", "key")) == hex_of(key));

  fl_flow_key mask;
  std::memset(&mask, 0xff, sizeof mask);
  mask.sport = 0;
  mask.where = FL_KEY_INSIDE;
  mask.vlan = 0;
  CHECK(to_hex(bytes_of_page("docs/format/flow.md", "mask")) == hex_of(mask));

  key.where = 1 << FL_KEY_MASK_SHIFT;
  CHECK(to_hex(bytes_of_page("docs/format/flow.md", "map-key")) == hex_of(key));

  fl_flow_value value{};
  value.deadline_ns = 5'000'000'000'000;
  value.slot = 9;
  value.snaplen = 128;
  value.direction = FL_FORWARD;
  CHECK(to_hex(bytes_of_page("docs/format/flow.md", "value")) == hex_of(value));
}

}  // namespace fieldline
