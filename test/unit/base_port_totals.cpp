// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <random>

#include "base/port_totals.h"

using namespace fieldline;

namespace {

RunId session_of(std::uint8_t byte) {
  RunId id;
  id.bytes.fill(byte);
  return id;
}

Bytes two_periods() {
  TotalsWriter writer(session_of(7), {3, 0, 63});
  writer.add({1000, 10}, std::vector<PortTotal>{{1, 64}, {2, 3000}, {0, 0}});
  writer.add({1010, 25}, std::vector<PortTotal>{{4, 256}, {5, 7500}, {6, 600}});
  const ByteView body = writer.end();
  return {body.begin(), body.end()};
}

// Everything that a body says, looked at.
std::uint64_t walk(const TotalsBody& body) {
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < body.periods; ++i) {
    sum += body.period(i).end_ns();
    for (std::size_t at = 0; at < body.ports.size(); ++at) sum += body.total(i, at).bytes;
  }
  return sum;
}

}  // namespace

TEST_CASE("port totals come back as they went in") {
  const Bytes bytes = two_periods();
  auto body = parse_totals(bytes);
  REQUIRE(body.has_value());
  CHECK(body->session == session_of(7));
  CHECK(body->ports == std::vector<std::uint16_t>{3, 0, 63});
  REQUIRE(body->periods == 2);
  CHECK(body->period(0).begin_ns == 1000);
  CHECK(body->period(1).length_ns == 25);
  CHECK(body->period(1).end_ns() == 1035);
  CHECK(body->total(0, 1) == PortTotal{2, 3000});
  CHECK(body->total(1, 2) == PortTotal{6, 600});
}

TEST_CASE("port totals that are not exactly their ports and periods are refused") {
  const Bytes whole = two_periods();
  for (std::size_t cut = 0; cut < whole.size(); ++cut) {
    INFO("cut at " << cut);
    CHECK_FALSE(parse_totals(ByteView(whole).first(cut)).has_value());
  }
  const auto with = [&](std::size_t at, std::uint8_t value) {
    Bytes bytes = whole;
    bytes.at(at) = value;
    auto body = parse_totals(bytes);
    REQUIRE_FALSE(body.has_value());
    return body.error().code;
  };
  CHECK(with(1, 2) == Code::unsupported);        // version
  CHECK(with(3, 0) == Code::invalid);            // no port
  CHECK(with(3, 65) == Code::invalid);           // more than a sensor has
  CHECK(with(7, 0) == Code::invalid);            // no period
  CHECK(with(4, 0xff) == Code::invalid);         // periods that are not there
  CHECK(with(24 + 3, 3) == Code::invalid);       // a port twice
  CHECK(with(24 + 8 + 15, 0) == Code::invalid);  // a period of no length
  Bytes late = whole;
  for (std::size_t i = 0; i < 8; ++i) late[24 + 8 + i] = 0xff;  // one that ends behind all time
  CHECK_FALSE(parse_totals(late).has_value());
  Bytes longer = whole;
  longer.push_back(0);
  CHECK_FALSE(parse_totals(longer).has_value());
}

TEST_CASE("damaged port totals are refused or read within their bytes") {
  const Bytes whole = two_periods();
  std::mt19937 random(20261122);
  std::uint64_t sum = 0;
  unsigned read = 0, refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    Bytes bytes = whole;
    for (unsigned flips = 1 + random() % 4; flips > 0; --flips)
      bytes[random() % bytes.size()] ^= static_cast<std::uint8_t>(1u << random() % 8);
    if (random() % 4 == 0) bytes.resize(random() % (bytes.size() + 1));
    auto body = parse_totals(bytes);
    if (body) sum += walk(*body);
    ++(body ? read : refused);
  }
  CHECK(sum != 0);
  CHECK(read > 1000);
  CHECK(refused > 1000);
}
