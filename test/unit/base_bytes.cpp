// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <random>

#include "base/bytes.h"
#include "base/run_id.h"
#include "proto/frame.h"

using namespace fieldline;

TEST_CASE("network byte order is its own inverse at every width") {
  CHECK(big_endian<std::uint8_t>(0x12) == 0x12);
  CHECK(big_endian<std::uint16_t>(0x1234) == 0x3412);
  CHECK(big_endian<std::uint32_t>(0x12345678) == 0x78563412);
  CHECK(big_endian<std::uint64_t>(0x0102030405060708) == 0x0807060504030201);
  CHECK(big_endian(big_endian<std::uint64_t>(0xdeadbeef)) == 0xdeadbeef);
}

TEST_CASE("a reader takes what is there and not a byte more") {
  Bytes bytes{1, 2, 3, 4, 5};
  ByteReader reader(bytes);
  CHECK(reader.take(0).value().empty());
  CHECK(reader.take(2).value()[1] == 2);
  auto more = reader.take(4);
  REQUIRE_FALSE(more.has_value());
  CHECK(more.error().code == Code::truncated);
  CHECK(more.error().text() == "needs 4 bytes, has 3");
  CHECK(reader.left() == 3);  // a refused step takes nothing
  CHECK_FALSE(reader.take(SIZE_MAX).has_value());
  CHECK_FALSE(reader.take_struct<fl_ack>().has_value());
  CHECK(reader.take(3).value()[0] == 3);
  CHECK(reader.left() == 0);
  CHECK(reader.rest().empty());
}

TEST_CASE("layout structs go to bytes and back") {
  Bytes bytes;
  append_struct(bytes, fl_frame_header{FL_FRAME_ACK, 0, 0, big_endian(8u)});
  append_struct(bytes, fl_ack{big_endian<std::uint64_t>(258)});
  CHECK(to_hex(bytes) == "0a000000000000080000000000000102");
  ByteReader reader(bytes);
  CHECK(reader.take_struct<fl_frame_header>().value().type == FL_FRAME_ACK);
  CHECK(big_endian<std::uint64_t>(reader.take_struct<fl_ack>().value().sequence) == 258);
}

TEST_CASE("hexadecimal is exact in length and digits, in either case") {
  std::array<std::uint8_t, 3> out{};
  REQUIRE(from_hex("00fFa9", out).has_value());
  CHECK(to_hex(out) == "00ffa9");
  CHECK(to_hex({}).empty());
  for (const char* bad : {"", "00ffa", "00ffa90", "00ffg0", "0x0000", "00 ff0", "-10000"}) {
    INFO(bad);
    CHECK_FALSE(from_hex(bad, out).has_value());
  }
}

TEST_CASE("base64 as RFC 4648 has it") {
  const std::vector<std::pair<std::string, std::string>> vectors{{"", ""},
                                                                 {"f", "Zg=="},
                                                                 {"fo", "Zm8="},
                                                                 {"foo", "Zm9v"},
                                                                 {"foob", "Zm9vYg=="},
                                                                 {"fooba", "Zm9vYmE="},
                                                                 {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) {
    CHECK(to_base64(view(plain)) == encoded);
    CHECK(text(from_base64(encoded).value()) == plain);
  }
  CHECK(text(from_base64("Zm9v\r\n YmFy\t").value()) == "foobar");
  for (const char* bad : {"Z", "Zg==Zg==", "Zg=a", "Zh==", "Zm9=", "Z!==", "Zg-_",
                          "\xff\xff\xff\xff", "====", "Zg===", "Zm9v="}) {
    INFO(bad);
    CHECK_FALSE(from_base64(bad).has_value());
  }
}

TEST_CASE("base64 of random bytes survives both ways") {
  std::mt19937_64 random(1);
  for (int i = 0; i < 1000; ++i) {
    Bytes bytes(random() % 200);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    CHECK(from_base64(to_base64(bytes)).value() == bytes);
  }
}

TEST_CASE("a run id is 32 hexadecimal digits") {
  auto run = RunId::parse("00112233445566778899AABBCCDDEEFF");
  REQUIRE(run.has_value());
  CHECK(run->hex() == "00112233445566778899aabbccddeeff");
  CHECK(run->brief() == "001122");
  CHECK_FALSE(run->is_zero());
  CHECK(RunId{}.is_zero());
  CHECK_FALSE(RunId::parse("0011").has_value());
  CHECK_FALSE(RunId::parse(std::string(33, '0')).has_value());
}

TEST_CASE("errors carry one line per layer") {
  Error error = fail(Code::denied, "no");
  CHECK(std::move(error).in("asking").text() == "asking: no");
  CHECK(Error{Code::timeout, ""}.text() == "timed out");
  Result<int> failed = fail(Code::io, "broken");
  CHECK_THROWS_WITH(failed.value(), "value() of an error: broken");
}
