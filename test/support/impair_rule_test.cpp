// SPDX-License-Identifier: Apache-2.0
#include "test/support/impair_rule.h"

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "proto/trigger.h"

using fieldline::Bytes;
using fieldline::view;
using fieldline::impair::DropRule;
using fieldline::impair::PcapLog;

namespace {

// An Ethernet and IPv4 header in front of `rest`, which begins with the transport header.
Bytes ipv4(std::uint8_t protocol, const Bytes& rest) {
  Bytes frame(14 + 20);
  frame[12] = 0x08;
  frame[14] = 0x45;
  const std::size_t total = 20 + rest.size();
  frame[16] = static_cast<std::uint8_t>(total >> 8);
  frame[17] = static_cast<std::uint8_t>(total);
  frame[23] = protocol;
  fieldline::append(frame, rest);
  return frame;
}

Bytes udp(std::string_view payload) {
  Bytes segment(8);
  fieldline::append(segment, view(payload));
  return ipv4(17, segment);
}

Bytes tcp(std::size_t payload) {
  Bytes segment(20 + payload);
  segment[12] = 0x50;
  return ipv4(6, segment);
}

DropRule rule(std::string_view text) {
  auto parsed = DropRule::parse(text);
  REQUIRE(parsed.has_value());
  return *parsed;
}

}  // namespace

TEST_CASE("a rule names each n-th packet or a list") {
  CHECK(rule("100").takes(100));
  CHECK(rule("100").takes(200));
  CHECK_FALSE(rule("100").takes(101));
  CHECK(rule("any:@5,17").takes(5));
  CHECK(rule("any:@5,17").takes(17));
  CHECK_FALSE(rule("any:@5,17").takes(10));
}

TEST_CASE("what is no rule is refused") {
  for (const char* text : {"", "0", "x", "-1", "@", "@5,", "@,5", "all:5", "data:", "5 ", "1,2",
                           "99999999999999999999"}) {
    CAPTURE(text);
    CHECK_FALSE(DropRule::parse(text).has_value());
  }
}

TEST_CASE("data is payload, and never a trigger") {
  const auto data = rule("2"), segments = rule("segments:2"), any = rule("any:2");
  const Bytes trigger = udp(std::string(FL_TRIGGER_MAGIC, FL_TRIGGER_MAGIC_LEN) + "rest");
  CHECK(data.matches(tcp(1)));
  CHECK(data.matches(udp("x")));
  CHECK_FALSE(data.matches(tcp(0)));
  CHECK(segments.matches(tcp(0)));
  CHECK_FALSE(data.matches(trigger));
  CHECK_FALSE(segments.matches(trigger));
  CHECK(any.matches(trigger));
  CHECK_FALSE(segments.matches(ipv4(1, Bytes(8))));
  CHECK(any.matches(ipv4(1, Bytes(8))));
}

TEST_CASE("EthernetPaddingIsNoPayload") {
  Bytes padded = tcp(0);
  padded.resize(60);
  CHECK_FALSE(rule("1").matches(padded));
}

TEST_CASE("a later fragment has no transport header to match") {
  Bytes fragment = tcp(100);
  fragment[21] = 7;
  CHECK_FALSE(rule("segments:1").matches(fragment));
  CHECK(rule("any:1").matches(fragment));
}

TEST_CASE("a frame cut at any length is judged without reading past it") {
  const auto all = {rule("1"), rule("segments:1"), rule("any:1")};
  for (const Bytes& whole : {tcp(40), udp("payload")}) {
    for (std::size_t length = 0; length < whole.size(); ++length) {
      const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
      CHECK(std::count_if(all.begin(), all.end(), [&](auto& r) { return r.matches(cut); }) <= 3);
    }
  }
}

TEST_CASE("the log stands in the file after each write") {
  const auto path =
      std::filesystem::temp_directory_path() / ("impair-" + std::to_string(::getpid()) + ".pcap");
  auto log = PcapLog::create(path.string());
  REQUIRE(log.has_value());
  CHECK(std::filesystem::file_size(path) == 24);
  CHECK((*log)->write(Bytes(60), 60));
  CHECK(std::filesystem::file_size(path) == 24 + 16 + 60);
  CHECK((*log)->write(Bytes(1514), 1514));
  CHECK(std::filesystem::file_size(path) == 24 + 16 + 60 + 16 + PcapLog::kLogged);
  std::filesystem::remove(path);
}
