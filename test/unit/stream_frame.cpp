// SPDX-License-Identifier: Apache-2.0
#include <random>

#include "stream/document.h"
#include "stream/frame.h"
#include "stream_lab.h"

namespace fieldline::stream {
namespace {

Frame frame_of(ByteView encoded) {
  return {encoded[0], encoded[1], encoded.subspan(sizeof(fl_frame_header))};
}

RunId run_id() {
  RunId run;
  for (std::size_t i = 0; i < run.bytes.size(); ++i) run.bytes[i] = static_cast<std::uint8_t>(i);
  return run;
}

Bytes two_records() {
  HeaderRecord record;
  record.head.timestamp_ns = 0x1122334455667788;
  record.head.digest = 0x99aabbccddeeff00;
  record.head.wire_len = 1514;
  record.head.port = 1;
  record.head.queue = 3;
  record.head.flags = FL_RECORD_REVERSE | FL_RECORD_TRUNCATED;
  record.head.gso_size = 1448;
  record.head.gso_segs = 4;
  record.data = view("abcdef");
  Bytes body;
  append_record(body, record);
  record.data = {};
  append_record(body, record);
  return body;
}

TEST_CASE("a frame of records comes back as it went in") {
  Bytes encoded =
      encode_durable(FL_FRAME_HEADER_RECORDS, FL_ENCODING_BINARY, 41, run_id(), 2, two_records());
  auto item = check_item(frame_of(encoded));
  REQUIRE(ok(item));
  CHECK(item->sequence == 41);
  CHECK(item->run == run_id());
  CHECK(item->count == 2);
  std::vector<HeaderRecord> records;
  REQUIRE(ok(for_each_record(*item, [&](const HeaderRecord& r) { records.push_back(r); })));
  REQUIRE(records.size() == 2);
  CHECK(records[0].head.timestamp_ns == 0x1122334455667788);
  CHECK(records[0].head.digest == 0x99aabbccddeeff00);
  CHECK(records[0].head.wire_len == 1514);
  CHECK(records[0].head.cap_len == 6);
  CHECK(records[0].head.port == 1);
  CHECK(records[0].head.queue == 3);
  CHECK(records[0].head.flags == (FL_RECORD_REVERSE | FL_RECORD_TRUNCATED));
  CHECK(records[0].head.gso_size == 1448);
  CHECK(records[0].head.gso_segs == 4);
  CHECK(text(records[0].data) == "abcdef");
  CHECK(records[1].data.empty());
}

TEST_CASE("an error of on_record ends the walk") {
  Bytes encoded =
      encode_durable(FL_FRAME_HEADER_RECORDS, FL_ENCODING_BINARY, 1, run_id(), 2, two_records());
  auto item = decode_item(frame_of(encoded));
  int calls = 0;
  auto full = [&](const HeaderRecord&) -> Result<void> {
    ++calls;
    return fail(Code::exhausted, "full");
  };
  auto walked = for_each_record(*item, full);
  REQUIRE_FALSE(ok(walked));
  CHECK(walked.error().code == Code::exhausted);
  CHECK(calls == 1);
}

TEST_CASE("a body that is not exactly its records is refused") {
  Bytes body = two_records();
  auto check = [](std::uint32_t count, const Bytes& with) {
    Bytes encoded = encode_durable(FL_FRAME_HEADER_RECORDS, FL_ENCODING_BINARY, 1, {}, count, with);
    return check_item(frame_of(encoded)).has_value();
  };
  CHECK(check(2, body));
  CHECK_FALSE(check(1, body));
  CHECK_FALSE(check(3, body));
  CHECK_FALSE(check(0xffffffff, body));
  for (std::size_t cut = 1; cut < body.size(); ++cut) {
    CHECK_FALSE(check(2, Bytes(body.begin(), body.end() - static_cast<std::ptrdiff_t>(cut))));
  }
  Bytes longer_than_packet = body;
  longer_than_packet[16] = longer_than_packet[17] = longer_than_packet[18] = 0;  // wire_len
  longer_than_packet[19] = 5;
  CHECK_FALSE(check(2, longer_than_packet));
}

TEST_CASE("item heads that cannot be are refused") {
  auto check = [](int type, int encoding, std::uint64_t sequence, std::uint32_t count,
                  std::string_view body) {
    Bytes encoded =
        encode_durable(static_cast<std::uint8_t>(type), static_cast<std::uint8_t>(encoding),
                       sequence, {}, count, view(body));
    return check_item(frame_of(encoded)).has_value();
  };
  CHECK(check(FL_FRAME_ACTIVATION, FL_ENCODING_JSON, 1, 1, "{}"));
  CHECK_FALSE(check(FL_FRAME_ACTIVATION, FL_ENCODING_JSON, 0, 1, "{}"));
  CHECK_FALSE(check(FL_FRAME_ACTIVATION, FL_ENCODING_JSON, 1, 0, "{}"));
  CHECK_FALSE(check(FL_FRAME_ACTIVATION, FL_ENCODING_JSON, 1, 2, "{}"));
  CHECK_FALSE(check(FL_FRAME_ACTIVATION, FL_ENCODING_JSON, ~0ull, 1, "{}"));
  CHECK_FALSE(check(FL_FRAME_ACTIVATION, FL_ENCODING_BINARY, 1, 1, "{}"));
  CHECK_FALSE(check(FL_FRAME_ACTIVATION, FL_ENCODING_JSON, 1, 1, "{"));
  CHECK_FALSE(check(FL_FRAME_ACTIVATION, FL_ENCODING_JSON, 1, 1, "[]"));
  CHECK_FALSE(check(FL_FRAME_HEADER_RECORDS, FL_ENCODING_JSON, 1, 1, "{}"));
  CHECK_FALSE(check(FL_FRAME_STATUS, FL_ENCODING_JSON, 1, 1, "{}"));
  CHECK_FALSE(ok(decode_item(Frame{FL_FRAME_ACTIVATION, FL_ENCODING_JSON, view("short")})));
}

TEST_CASE("frames come out whole however their bytes are cut") {
  std::mt19937 random(7);
  Bytes all;
  std::vector<std::string> sent;
  for (int i = 0; i < 200; ++i) {
    std::string payload(random() % 900, static_cast<char>('a' + i % 26));
    sent.push_back(payload);
    append(all, encode_frame(static_cast<std::uint8_t>(i), FL_ENCODING_JSON, view(payload)));
  }
  for (unsigned most : {1u, 2u, 7u, 8u, 9u, 100u, 5000u, 1u << 20}) {
    FrameReader reader;
    std::vector<std::string> received;
    for (ByteView rest = all; !rest.empty();) {
      std::size_t n = std::min<std::size_t>(rest.size(), 1 + random() % most);
      reader.feed(rest.first(n));
      rest = rest.subspan(n);
      for (;;) {
        auto next = reader.next();
        REQUIRE(ok(next));
        if (!*next) break;
        REQUIRE((*next)->type == received.size());
        received.emplace_back(text((*next)->payload));
      }
    }
    CHECK(received == sent);
  }
}

TEST_CASE("a frame of the limit passes, one byte more is an error for good") {
  Bytes largest(FL_FRAME_MAX, 1);
  FrameReader reader;
  reader.feed(encode_frame(FL_FRAME_DATA, 0, largest));
  auto next = reader.next();
  REQUIRE(ok(next));
  REQUIRE(*next);
  CHECK((*next)->payload.size() == FL_FRAME_MAX);
  largest.push_back(1);
  reader.feed(ByteView(encode_frame(FL_FRAME_DATA, 0, largest)).first(8));
  CHECK_FALSE(ok(reader.next()));
  reader.feed(encode_frame(FL_FRAME_DATA, 0, {}));
  CHECK_FALSE(ok(reader.next()));
  FrameReader short_one(100);
  short_one.feed(encode_frame(FL_FRAME_DATA, 0, Bytes(101)));
  CHECK_FALSE(ok(short_one.next()));
}

// What the decoder lets through must hold what its callers rely on.
void take_all(FrameReader& reader, std::size_t& taken) {
  for (;;) {
    auto next = reader.next();
    if (!next || !*next) return;
    ++taken;
    auto item = check_item(**next);
    if (item && (*next)->type == FL_FRAME_HEADER_RECORDS) {
      std::uint32_t seen = 0;
      REQUIRE(ok(for_each_record(*item, [&](const HeaderRecord&) { ++seen; })));
      REQUIRE(seen == item->count);
    }
    (void)parse_hello((*next)->payload);
    (void)parse_error((*next)->payload);
  }
}

TEST_CASE("a hundred thousand damaged streams crash nothing") {
  std::mt19937 random(20261121);
  Bytes sound = encode_durable(FL_FRAME_HEADER_RECORDS, 0, 9, run_id(), 2, two_records());
  append(sound, producer_hello(run_id(), "s1", "site-a"));
  append(sound, error_frame(fail(Code::denied, "no")));
  append(sound, encode_durable(FL_FRAME_ACTIVATION, 1, 11, run_id(), 1, view("{\"a\":[1,{}]}")));
  std::size_t taken = 0;
  for (int i = 0; i < 100'000; ++i) {
    Bytes damaged = sound;
    if (i % 4 == 0) {
      damaged.resize(random() % 120);
      for (auto& byte : damaged) byte = static_cast<std::uint8_t>(random());
      if (damaged.size() > 8) damaged[4] = damaged[5] = damaged[6] = 0;  // a length that may fit
    } else {
      for (unsigned flips = 1 + random() % 4; flips > 0; --flips) {
        damaged[random() % damaged.size()] ^= static_cast<std::uint8_t>(1u << random() % 8);
      }
      if (i % 4 == 1) damaged.resize(random() % damaged.size());
    }
    FrameReader reader(random() % 2 == 0 ? 1 : FL_FRAME_MAX);
    std::size_t cut = damaged.empty() ? 0 : random() % damaged.size();
    reader.feed(ByteView(damaged).first(cut));
    take_all(reader, taken);
    reader.feed(ByteView(damaged).subspan(cut));
    take_all(reader, taken);
  }
  CHECK(taken > 10'000);
}

TEST_CASE("documents nested too deep are refused before anything walks them") {
  auto nested = [](int depth) {
    return parse_document(
               view("{\"a\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}"))
        .has_value();
  };
  CHECK(nested(32));
  CHECK_FALSE(nested(33));
  CHECK_FALSE(nested(500'000));
  CHECK(ok(parse_document(
      view("{\"a\":\"" + std::string(100, '[') + "\\\"" + std::string(100, '{') + "\"}"))));
  CHECK_FALSE(ok(parse_document(view("\"text\""))));
  CHECK_FALSE(ok(parse_document({})));
}

TEST_CASE("hellos with members of the wrong kind are refused") {
  auto check = [](const std::string& text) { return parse_hello(view(text)).has_value(); };
  const std::string head = R"({"schema":"fieldline.hello/1","role":)";
  CHECK(check(head + R"("reader","versions":[1,2]})"));
  CHECK_FALSE(check(head + R"("reader","versions":[-1,2]})"));
  CHECK_FALSE(check(head + R"("reader","versions":[1]})"));
  CHECK_FALSE(check(head + R"("reader","versions":"1"})"));
  CHECK_FALSE(check(head + R"("king","versions":[1,1]})"));
  CHECK_FALSE(check(head + R"(7,"versions":[1,1]})"));
  CHECK_FALSE(check(head + R"("producer","versions":[1,1],"session":"00"})"));
  CHECK_FALSE(
      check(head + R"("producer","versions":[1,1],"session":")" + std::string(32, '0') + R"("})"));
  CHECK_FALSE(check(head + R"("producer","versions":[1,1],"session":")" + std::string(32, '1') +
                    R"(","name":"a\u001b[2J"})"));
  auto later = parse_hello(view(R"({"schema":"fieldline.hello/2"})"));
  REQUIRE_FALSE(ok(later));
  CHECK(later.error().code == Code::unsupported);
}

}  // namespace
}  // namespace fieldline::stream
