// SPDX-License-Identifier: Apache-2.0
// The worked example of docs/format/application.md, byte by byte, and that the page shows these
// bytes.
#include <catch2/catch.hpp>

#include <string>

#include "base/application_event.h"
#include "base/file.h"
#include "stream/frame.h"

namespace fieldline::stream {
namespace {

// In the page's lines: each is hexadecimal digits, then what they are.
const std::string kFrame =
    "10 00 0000 00000066"
    " 000000000000002a 000102030405060708090a0b0c0d0e0f 00000001 00000000"
    " 0001 04 01 12 01 04 00 00001267 00001268 187a286ebb55f515 0000000000001149"
    " 677269646674702e726561642e7374617274 61 78666572 05 00 0006 6279746573 313331303732";

std::string without_spaces(std::string text) {
  std::erase_if(text, [](char c) { return c == ' ' || c == '\n'; });
  return text;
}

ApplicationEvent golden_event() {
  ApplicationEvent event;
  event.timestamp_ns = 1'763'766'660'123'456'789;
  event.sockid = 4425;
  event.pid = 4711;
  event.tid = 4712;
  event.name = "gridftp.read.start";
  event.host = "a";
  event.program = "xfer";
  event.pairs = {{"bytes", "131072"}};
  return event;
}

TEST_CASE("application: an event's frame is encoded as the page says") {
  const RunId run = RunId::parse("000102030405060708090a0b0c0d0e0f").value();
  const Bytes body = encode(golden_event()).value();
  CHECK(to_hex(encode_durable(FL_FRAME_APPLICATION_EVENT, FL_ENCODING_BINARY, 42, run, 1, body)) ==
        without_spaces(kFrame));
}

TEST_CASE("application: an event's frame is decoded as the page says") {
  const std::string hex = without_spaces(kFrame);
  Bytes bytes(hex.size() / 2);
  REQUIRE(from_hex(hex, bytes).has_value());
  FrameReader reader;
  reader.feed(bytes);
  auto frame = reader.next();
  REQUIRE((frame.has_value() && frame->has_value()));
  auto item = check_item(**frame);
  REQUIRE(item.has_value());
  CHECK(item->sequence == 42);
  auto event = parse_application_event(item->body);
  REQUIRE(event.has_value());
  const ApplicationEvent wanted = golden_event();
  CHECK(event->timestamp_ns == wanted.timestamp_ns);
  CHECK(event->sockid == wanted.sockid);
  CHECK(event->pid == wanted.pid);
  CHECK(event->tid == wanted.tid);
  CHECK(event->level == FL_APPLICATION_INFO);
  CHECK(event->name == wanted.name);
  CHECK(event->host == wanted.host);
  CHECK(event->program == wanted.program);
  CHECK(event->pairs == wanted.pairs);
}

TEST_CASE("application: an item that is damaged or not binary is none; a later version's is") {
  const std::string hex = without_spaces(kFrame);
  Bytes bytes(hex.size() / 2);
  REQUIRE(from_hex(hex, bytes).has_value());
  auto checked = [](Bytes one) {
    FrameReader reader;
    reader.feed(one);
    auto frame = reader.next();
    REQUIRE((frame.has_value() && frame->has_value()));
    return bool(check_item(**frame));
  };
  CHECK(checked(bytes));
  constexpr std::size_t kRun = 16, kBody = 40;
  Bytes text = bytes, of_no_run = bytes, pairs = bytes, later = bytes;
  text[1] = FL_ENCODING_JSON;
  CHECK(!checked(text));
  std::fill_n(of_no_run.begin() + kRun, 16, 0);
  CHECK(!checked(of_no_run));
  pairs[kBody + 3] = 2;
  CHECK(!checked(pairs));
  later[kBody + 1] = 2;
  CHECK(checked(later));
}

TEST_CASE("application: the page's worked example is these bytes") {
  auto page = read_file("docs/format/application.md");
  REQUIRE(page.has_value());
  auto from = page->find("<!-- golden -->"), to = page->find("<!-- /golden -->");
  REQUIRE(from != std::string::npos);
  REQUIRE(to != std::string::npos);
  std::string hex;
  for (std::size_t at = page->find('\n', from) + 1; at < to;) {
    std::size_t end = page->find('\n', at);
    std::string line = page->substr(at, end - at);
    at = end + 1;
    if (line.starts_with("    ")) hex += line.substr(4, line.find("  ", 4) - 4);
  }
  CHECK(without_spaces(hex) == without_spaces(kFrame));
}

}  // namespace
}  // namespace fieldline::stream
