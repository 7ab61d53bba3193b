// SPDX-License-Identifier: Apache-2.0
// The worked example of docs/format/frame.md, byte by byte, and that the page shows these bytes.
#include <catch2/catch.hpp>

#include <string>

#include "base/file.h"
#include "base/port_totals.h"
#include "stream/document.h"
#include "stream/frame.h"

namespace fieldline::stream {
namespace {

RunId golden_run() {
  return RunId::parse("000102030405060708090a0b0c0d0e0f").value();
}

HeaderRecord golden_record() {
  HeaderRecord record;
  record.head.timestamp_ns = 1'763'766'660'123'456'789;
  record.head.digest = 0x0123456789abcdef;
  record.head.wire_len = 1514;
  record.head.port = 1;
  record.head.queue = 2;
  record.head.flags = FL_RECORD_REVERSE | FL_RECORD_TRUNCATED;
  record.head.gso_size = 1448;
  record.head.gso_segs = 3;
  record.data = view("\xde\xad\xbe\xef");
  return record;
}

// In the page's lines: each is hexadecimal digits, then what they are.
const std::string kRecords =
    "02 00 0000 00000044"
    " 0000000000000029 000102030405060708090a0b0c0d0e0f 00000001 00000000"
    " 187a286ebb55f515 0123456789abcdef 000005ea 0004 0001 0002 0005 05a8 0003"
    " deadbeef";
const std::string kTotals =
    "04 00 0000 00000070"
    " 000000000000002a 00000000000000000000000000000000 00000001 00000000"
    " 0001 0002 00000001 000102030405060708090a0b0c0d0e0f 0000 0001 00000000"
    " 187a286ebb55f515 0000000000989680"
    " 0000000000000007 0000000000002964 0000000000000000 0000000000000000";
const std::string kAck = "0a 00 0000 00000008 0000000000000029";

std::string without_spaces(std::string text) {
  std::erase_if(text, [](char c) { return c == ' ' || c == '\n'; });
  return text;
}

Bytes bytes_of(const std::string& spaced) {
  std::string hex = without_spaces(spaced);
  Bytes bytes(hex.size() / 2);
  REQUIRE(from_hex(hex, bytes).has_value());
  return bytes;
}

TEST_CASE("frame: header records are encoded as the page says") {
  Bytes body;
  append_record(body, golden_record());
  Bytes frame =
      encode_durable(FL_FRAME_HEADER_RECORDS, FL_ENCODING_BINARY, 41, golden_run(), 1, body);
  CHECK(to_hex(frame) == without_spaces(kRecords));
}

TEST_CASE("frame: header records are decoded as the page says") {
  FrameReader reader;
  reader.feed(bytes_of(kRecords));
  auto frame = reader.next();
  REQUIRE((frame.has_value() && frame->has_value()));
  auto item = check_item(**frame);
  REQUIRE(item.has_value());
  CHECK(item->sequence == 41);
  CHECK(item->run == golden_run());
  CHECK(item->count == 1);
  HeaderRecord expected = golden_record();
  auto compare = [&](const HeaderRecord& record) {
    expected.head.cap_len = 4;
    CHECK(to_hex(view_of(record.head)) == to_hex(view_of(expected.head)));
    CHECK(to_hex(record.data) == "deadbeef");
  };
  CHECK(for_each_record(*item, compare).has_value());
}

TEST_CASE("frame: port totals are encoded and decoded as the page says") {
  TotalsWriter writer(golden_run(), {0, 1});
  writer.add({1'763'766'660'123'456'789, 10'000'000}, std::vector<PortTotal>{{7, 10'596}, {0, 0}});
  const Bytes frame =
      encode_durable(FL_FRAME_PORT_TOTALS, FL_ENCODING_BINARY, 42, {}, 1, writer.end());
  CHECK(to_hex(frame) == without_spaces(kTotals));
  FrameReader reader;
  reader.feed(bytes_of(kTotals));
  auto read = reader.next();
  REQUIRE((read.has_value() && read->has_value()));
  auto item = check_item(**read);
  REQUIRE(item.has_value());
  auto totals = parse_totals(item->body);
  REQUIRE(totals.has_value());
  CHECK(totals->session == golden_run());
  CHECK(totals->ports == std::vector<std::uint16_t>{0, 1});
  REQUIRE(totals->periods == 1);
  CHECK(totals->period(0).begin_ns == 1'763'766'660'123'456'789);
  CHECK(totals->period(0).length_ns == 10'000'000);
  CHECK(totals->total(0, 0) == PortTotal{7, 10'596});
}

TEST_CASE("frame: an acknowledgement is encoded as the page says") {
  fl_ack ack{big_endian(std::uint64_t{41})};
  CHECK(to_hex(encode_frame(FL_FRAME_ACK, FL_ENCODING_BINARY, view_of(ack))) ==
        without_spaces(kAck));
}

TEST_CASE("frame: the documents of the conversation are as json.md says") {
  auto document = [](const Bytes& frame) {
    return nlohmann::json::parse(text(ByteView(frame).subspan(8)));
  };
  using nlohmann::json;
  CHECK(document(producer_hello(golden_run(), "s1", "site-a")) ==
        json::parse(R"({"schema":"fieldline.hello/1","role":"producer","versions":[1,1],
            "session":"000102030405060708090a0b0c0d0e0f","name":"s1","domain":"site-a"})"));
  CHECK(document(reader_hello()) ==
        json::parse(R"({"schema":"fieldline.hello/1","role":"reader","versions":[1,1]})"));
  CHECK(document(archive_hello(41, "arc")) ==
        json::parse(R"({"schema":"fieldline.hello/1","role":"archive","version":1,"resume":41,
            "name":"arc"})"));
  CHECK(document(error_frame(fail(Code::not_found, "no such run; see fieldline runs"))) ==
        json::parse(R"({"schema":"fieldline.error/1","code":"not_found",
            "text":"no such run; see fieldline runs"})"));
}

TEST_CASE("frame: every error code survives the way over the wire") {
  for (auto code : {Code::invalid, Code::truncated, Code::unsupported, Code::denied,
                    Code::not_found, Code::exhausted, Code::io, Code::closed, Code::timeout}) {
    Error back = parse_error(ByteView(error_frame(fail(code, "why"))).subspan(8));
    CHECK(back.code == code);
    CHECK(back.context == "why");
  }
  CHECK(parse_error(view(R"({"code":"of a later version","text":"no"})")).code == Code::denied);
}

TEST_CASE("frame: the page's worked example is these bytes") {
  auto page = read_file("docs/format/frame.md");
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
  CHECK(without_spaces(hex) == without_spaces(kRecords + kTotals + kAck));
}

}  // namespace
}  // namespace fieldline::stream
