// SPDX-License-Identifier: Apache-2.0
// The worked example of docs/format/event.md, byte by byte, and that the page shows these bytes.
#include <catch2/catch.hpp>

#include <string>

#include "base/event.h"
#include "base/file.h"
#include "stream/frame.h"

namespace fieldline::stream {
namespace {

// In the page's lines: each is hexadecimal digits, then what they are.
const std::string kFrame =
    "03 00 0000 00000080"
    " 000000000000002a 000102030405060708090a0b0c0d0e0f 00000001 00000000"
    " 02 00 0040 00000001 0003 000000000000 51000000000000000000000000000000"
    " 4911000000000000 15f555bb6e287a18 03010000 00000200"
    " 67120000 e8030000 04030201 00000100 00000000 00540100 00000200"
    " 28a0 5114 02 06 000000000000";

std::string without_spaces(std::string text) {
  std::erase_if(text, [](char c) { return c == ' ' || c == '\n'; });
  return text;
}

RunId session() {
  RunId id;
  id.bytes[0] = 0x51;
  return id;
}

magnet_record_ext golden_record() {
  magnet_record_ext record{};
  record.head = {4425, 1'763'766'660'123'456'789, MAGNET_SOCK_SEND, 131072};
  auto& sock = record.ext.sock;
  sock.pid = 4711;
  sock.uid = 1000;
  sock.seq = 0x01020304;
  sock.wqueue = 65536;
  sock.sndbuf = 87040;
  sock.rcvbuf = 131072;
  sock.local_port = 41000;
  sock.peer_port = 5201;
  sock.family = 2;
  sock.protocol = 6;
  return record;
}

TEST_CASE("event: a frame of event records is encoded as the page says") {
  EventBodyWriter writer(FL_EVENT_EBPF, sizeof(magnet_record_ext), 3, session());
  writer.add(view_of(golden_record()));
  const RunId run = RunId::parse("000102030405060708090a0b0c0d0e0f").value();
  CHECK(to_hex(encode_durable(FL_FRAME_EVENT_RECORDS, FL_ENCODING_BINARY, 42, run, 1,
                              writer.end())) == without_spaces(kFrame));
}

TEST_CASE("event: a frame of event records is decoded as the page says") {
  const std::string hex = without_spaces(kFrame);
  Bytes bytes(hex.size() / 2);
  REQUIRE(from_hex(hex, bytes).has_value());
  FrameReader reader;
  reader.feed(bytes);
  auto frame = reader.next();
  REQUIRE((frame.has_value() && frame->has_value()));
  auto item = check_item(**frame);
  REQUIRE(item.has_value());
  auto body = parse_events(item->body);
  REQUIRE(body.has_value());
  CHECK(body->source == FL_EVENT_EBPF);
  CHECK(body->cpu == 3);
  CHECK(body->session == session());
  REQUIRE(body->count == 1);
  CHECK(to_hex(view_of(body->record(0))) == to_hex(view_of(golden_record())));
}

TEST_CASE("event: a body that is damaged, or not binary, is no item; a later version's is") {
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
  Bytes text = bytes, fewer = bytes, later = bytes;
  text[1] = FL_ENCODING_JSON;
  CHECK(!checked(text));
  fewer[8 + 32 + 7] = 2;  // records
  CHECK(!checked(fewer));
  later[8 + 32] = 9;  // a source that this version does not know
  CHECK(checked(later));
}

TEST_CASE("event: the page's worked example is these bytes") {
  auto page = read_file("docs/format/event.md");
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
