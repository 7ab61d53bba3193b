// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "base/event.h"

using namespace fieldline;

namespace {

RunId session() {
  RunId id;
  id.bytes.fill(0x51);
  return id;
}

Bytes body_of(std::uint32_t count, std::uint16_t size = sizeof(magnet_record_ext),
              fl_event_source source = FL_EVENT_EBPF) {
  EventBodyWriter writer(source, size, 3, session());
  Bytes record(size, 0);
  for (std::uint32_t i = 0; i < count; ++i) {
    record[0] = static_cast<std::uint8_t>(i + 1);  // sockid
    writer.add(record);
  }
  ByteView whole = writer.end();
  return Bytes(whole.begin(), whole.end());
}

}  // namespace

TEST_CASE("An event body is read as it was written") {
  for (std::uint16_t size : {std::uint16_t{24}, std::uint16_t{64}}) {
    const Bytes bytes = body_of(3, size);
    auto body = parse_events(bytes);
    REQUIRE(body.has_value());
    CHECK(body->source == FL_EVENT_EBPF);
    CHECK(body->cpu == 3);
    CHECK(body->count == 3);
    CHECK(body->session == session());
    CHECK(body->has_extension() == (size == 64));
    CHECK(body->record(2).head.sockid == 3);
  }
  const Bytes samples = body_of(2, sizeof(fl_tcp_info), FL_EVENT_TCP_INFO);
  auto body = parse_events(samples);
  REQUIRE(body.has_value());
  CHECK(body->is_samples());
  CHECK(body->sample(1).sockid == 2);
}

TEST_CASE("CutOrLengthenedEventBodyIsRefusedAtEveryLength") {
  const Bytes whole = body_of(3);
  for (std::size_t n = 0; n < whole.size(); ++n)
    CHECK(!parse_events(ByteView(whole).first(n)).has_value());
  Bytes longer = whole;
  longer.push_back(0);
  CHECK(!parse_events(longer).has_value());
}

TEST_CASE("HostileEventHead: sizes, sources and counts that do not fit are refused") {
  auto with = [](std::size_t at, std::uint8_t value) {
    Bytes bytes = body_of(3);
    bytes[at] = value;
    return parse_events(bytes);
  };
  for (std::uint8_t source : Bytes{0, 3, 4, 255})
    CHECK(with(0, source).error().code == Code::unsupported);
  for (std::uint8_t size : Bytes{0, 1, 24, 63, 65, 144}) CHECK(!with(3, size).has_value());
  CHECK(!with(4, 0xff).has_value());  // count * size is over 32 bits
  CHECK(!with(7, 2).has_value());
  CHECK(!with(7, 4).has_value());
  CHECK(!parse_events(body_of(0)).has_value());
}
