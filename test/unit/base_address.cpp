// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "base/address.h"

using namespace fieldline;

namespace {

Address address(std::string_view text) {
  return Address::parse(text).value();
}
Prefix prefix(std::string_view text) {
  return Prefix::parse(text).value();
}

std::string complaint(std::string_view text) {
  auto parsed = Prefix::parse(text);
  return parsed ? "" : parsed.error().text();
}

}  // namespace

TEST_CASE("addresses are read and written in their usual forms") {
  CHECK(address("10.1.2.3").is_v4());
  CHECK(address("10.1.2.3").to_string() == "10.1.2.3");
  CHECK(address("::ffff:10.1.2.3") == address("10.1.2.3"));
  CHECK(address("2001:DB8::0:1").to_string() == "2001:db8::1");
  CHECK_FALSE(address("::1").is_v4());
  CHECK(address("::").to_string() == "::");
  CHECK(address("255.255.255.255").bytes[15] == 255);
}

TEST_CASE("what is no address is refused") {
  for (const char* bad : {"", "10.1.2", "10.1.2.256", "10.1.2.3.4", "host", "2001:db8",
                          ":::", "10.1.2.3 ", "fe80::1%eth0", "1.2.3.4/8", "012.1.1.1"}) {
    INFO(bad);
    auto parsed = Address::parse(bad);
    REQUIRE_FALSE(parsed.has_value());
    CHECK(parsed.error().text().find(bad) != std::string::npos);
  }
  CHECK_FALSE(Address::parse(std::string_view("10.0.0.1\0x", 10)).has_value());
}

TEST_CASE("prefixes are read, and written as they were") {
  CHECK(prefix("10.0.0.0/8").length == 104);
  CHECK(prefix("10.1.2.3").length == 128);
  for (const char* text : {"10.0.0.0/8", "0.0.0.0/0", "10.1.2.3", "2001:db8::/32", "::/0",
                           "2001:db8::1", "10.128.0.0/9"}) {
    CHECK(prefix(text).to_string() == text);
  }
}

TEST_CASE("bits behind a prefix are refused, with the prefix to write") {
  CHECK(complaint("10.0.0.1/8").find("write 10.0.0.0/8") != std::string::npos);
  CHECK(complaint("2001:db8::1/64").find("write 2001:db8::/64") != std::string::npos);
  CHECK(complaint("10.255.0.0/9").find("write 10.128.0.0/9") != std::string::npos);
}

TEST_CASE("lengths that are no number of bits are refused") {
  for (const char* bad : {"10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x",
                          "10.0.0.0/ 8", "10.0.0.0/4294967304", "/8", "10.0.0.0/8/8"}) {
    INFO(bad);
    CHECK_FALSE(Prefix::parse(bad).has_value());
  }
}

TEST_CASE("a prefix contains what begins with its bits") {
  CHECK(prefix("10.0.0.0/9").contains(address("10.127.255.255")));
  CHECK_FALSE(prefix("10.0.0.0/9").contains(address("10.128.0.0")));
  CHECK(prefix("10.0.0.0/8").contains(prefix("10.2.0.0/16")));
  CHECK_FALSE(prefix("10.2.0.0/16").contains(prefix("10.0.0.0/8")));
  CHECK(prefix("10.2.0.0/16").contains(prefix("10.2.0.0/16")));
  CHECK(prefix("10.1.2.3").contains(address("10.1.2.3")));
  CHECK_FALSE(prefix("10.1.2.3").contains(address("10.1.2.2")));
}

TEST_CASE("all of IPv4 is a part of all of IPv6, and not the other way round") {
  CHECK(prefix("::/0").contains(address("10.0.0.1")));
  CHECK(prefix("::/0").contains(prefix("0.0.0.0/0")));
  CHECK_FALSE(prefix("0.0.0.0/0").contains(prefix("::/0")));
  CHECK_FALSE(prefix("0.0.0.0/0").contains(address("::1")));
  CHECK(prefix("0.0.0.0/0").contains(address("255.255.255.255")));
}
