// SPDX-License-Identifier: Apache-2.0
// chronyd's tracking, from a fake one on loopback.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <random>

#include "source/chrony.h"

using namespace fieldline;
using namespace fieldline::source;

namespace {

Bytes answer_of(std::uint32_t sequence, std::uint32_t correction, std::uint32_t delay,
                std::uint32_t dispersion, std::uint16_t leap = 0) {
  Bytes bytes{6, 2, 0, 0, 0, 33, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0};
  const auto word = [&](std::uint32_t value) { append_struct(bytes, big_endian(value)); };
  word(sequence);
  word(0);
  word(0);
  word(0x7f7f0101);
  bytes.resize(bytes.size() + 20);
  append_struct(bytes, big_endian(std::uint16_t{3}));
  append_struct(bytes, big_endian(leap));
  bytes.resize(bytes.size() + 12);
  word(correction);
  for (int i = 0; i < 5; ++i) word(0);
  word(delay);
  word(dispersion);
  word(0);
  return bytes;
}

// Floats of candm.h: coefficient * 2^(exponent - 25).
constexpr std::uint32_t wire_float(std::int32_t exponent, std::int32_t coefficient) {
  return static_cast<std::uint32_t>(exponent) << 25 |
         (static_cast<std::uint32_t>(coefficient) & 0x1ffffff);
}

class Fake {
 public:
  Fake() : socket_(::socket(AF_INET, SOCK_DGRAM, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
    socklen_t size = sizeof at;
    REQUIRE(::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&at), &size) == 0);
    port = ntohs(at.sin_port);
  }
  // The number of the request that came, answered with what `make` makes of it.
  template <class Make>
  std::uint32_t answer(Make&& make) {
    pollfd ready{socket_.get(), POLLIN, 0};
    REQUIRE(::poll(&ready, 1, 5000) == 1);
    Bytes request(512);
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const ssize_t n = ::recvfrom(socket_.get(), request.data(), request.size(), 0,
                                 reinterpret_cast<sockaddr*>(&from), &size);
    REQUIRE(n == 104);
    CHECK(to_hex(ByteView(request).first(8)) == "0601000000210000");
    std::uint32_t number = 0;
    std::memcpy(&number, request.data() + 8, sizeof number);
    number = big_endian(number);
    const Bytes reply = make(number);
    REQUIRE(::sendto(socket_.get(), reply.data(), reply.size(), 0,
                     reinterpret_cast<sockaddr*>(&from),
                     size) == static_cast<ssize_t>(reply.size()));
    return number;
  }
  std::uint16_t port = 0;

 private:
  Fd socket_;
};

}  // namespace

TEST_CASE("chronyd's tracking is taken one call later, and no call waits for it") {
  Fake fake;
  Chrony chrony(fake.port);
  CHECK_FALSE(chrony.tracking());
  fake.answer([](std::uint32_t number) {
    return answer_of(number, wire_float(-10, -0x800000), wire_float(-5, 0x800000),
                     wire_float(-8, 0x800000));
  });
  const auto tracking = chrony.tracking();
  REQUIRE(tracking);
  CHECK(tracking->synchronized);
  CHECK(tracking->stratum == 3);
  CHECK(tracking->offset_ns == -244'141);          // -2^-12 s
  CHECK(tracking->root_delay_ns == 7'812'500);     // 2^-7 s
  CHECK(tracking->root_dispersion_ns == 976'563);  // 2^-10 s
  CHECK(tracking->error_ns() == 3'906'250 + 976'563 + 244'141);
  for (unsigned i = 1; i < Chrony::kStale; ++i) CHECK(chrony.tracking());
  CHECK_FALSE(chrony.tracking());
}

TEST_CASE("an answer of chronyd 4.3 is read") {
  Bytes answer(104);
  REQUIRE(
      from_hex("060200000021000500000000000000000000000700000000000000007f7f01010000000000000000"
               "000000000000000000000000000a0000000000006b02e18010169904000000000000000000000000"
               "000000000000000000000000000000000000000000000000",
               answer)
          .has_value());
  const auto tracking = parse_chrony_reply(answer, 7);  // of `local stratum 10`
  REQUIRE(tracking);
  CHECK(tracking->synchronized);
  CHECK(tracking->stratum == 10);
  CHECK(tracking->error_ns() == 0);
}

TEST_CASE("a chronyd that follows no source is not synchronized") {
  const auto tracking = parse_chrony_reply(answer_of(1, 0, 0, 0, 3), 1);
  REQUIRE(tracking);
  CHECK_FALSE(tracking->synchronized);
}

TEST_CASE("answers that are late, damaged or refused are none") {
  Fake fake;
  Chrony chrony(fake.port);
  CHECK_FALSE(chrony.tracking());
  fake.answer([](std::uint32_t number) { return answer_of(number - 1, 0, 0, 0); });
  CHECK_FALSE(chrony.tracking());
  const Bytes good = answer_of(5, 0, 0, 0);
  REQUIRE(parse_chrony_reply(good, 5));
  for (std::size_t cut = 0; cut < good.size(); ++cut)
    CHECK_FALSE(parse_chrony_reply(ByteView(good).first(cut), 5));
  for (const std::size_t at : {0, 1, 5, 7, 9, 19}) {
    Bytes bad = good;
    bad[at] ^= 1;
    CHECK_FALSE(parse_chrony_reply(bad, 5));
  }
  CHECK_FALSE(parse_chrony_reply(answer_of(5, 0, wire_float(0, -1), 0), 5));
  CHECK_FALSE(parse_chrony_reply(answer_of(5, wire_float(63, 0xffffff), 0, 0), 5));
  std::mt19937 random(20261122);
  for (int i = 0; i < 10'000; ++i) {
    Bytes bad = good;
    for (std::size_t at = 64; at < bad.size(); ++at) bad[at] = static_cast<std::uint8_t>(random());
    if (const auto tracking = parse_chrony_reply(bad, 5))
      CHECK(tracking->error_ns() <= 2'500'000'000'000'000'000);
  }
}

TEST_CASE("where no chronyd listens there is no tracking") {
  std::uint16_t port = 0;
  {
    Fake fake;
    port = fake.port;
  }
  Chrony chrony(port);
  for (int i = 0; i < 5; ++i) CHECK_FALSE(chrony.tracking());
}
