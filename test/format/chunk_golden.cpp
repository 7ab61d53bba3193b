// SPDX-License-Identifier: Apache-2.0
// The worked example of docs/format/chunk.md, byte for byte: made by the writer, read by the
// reader.
#include "base/pcapng.h"
#include "proto/frame.h"
#include "test/format/chunk_page.h"

using namespace fieldline;
using namespace fieldline::pcapng;

namespace {

constexpr const char* kHead =
    R"({"domain":"site-a","first":1,"name":"s1","number":1,"producer":"SHA256:00",)"
    R"("schema":"fieldline.chunk/1","session":"51000000000000000000000000000000"})";
constexpr const char* kInterface =
    R"({"domain":"site-a","interface":"t-up","port":0,"run":"a1000000000000000000000000000000",)"
    R"("sensor":"s1","session":"51000000000000000000000000000000"})";
constexpr const char* kConfiguration = R"({"sensor":"s1","ports":[{"port":0,"interface":"t-up"}]})";
const Bytes kData{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 8, 0, 0x45};

}  // namespace

TEST_CASE("chunk: the page's example is what the writer writes") {
  Bytes bytes;
  write(bytes, Section{"fieldline", kHead});
  write(bytes, Report{FL_FRAME_CONFIGURATION, FL_ENCODING_JSON, 1, {}, view(kConfiguration)});
  write(bytes, Interface{"s1:t-up", kInterface});
  Packet packet;
  packet.timestamp_ns = 1'000'000'001;
  packet.wire_len = 1514;
  packet.data = kData;
  packet.sequence = 2;
  packet.meta = fl_chunk_packet{};
  packet.meta->queue = 2;
  packet.meta->flags = FL_RECORD_REVERSE;
  packet.meta->digest = 0x1122334455667788;
  write(bytes, packet);
  Statistics statistics;
  statistics.timestamp_ns = 1'000'000'001;
  statistics.received = statistics.delivered = 1;
  write(bytes, statistics);
  REQUIRE(to_hex(bytes) == to_hex(test::bytes_of_chunk_page()));
}

TEST_CASE("chunk: the page's example is read as the page says") {
  const Bytes bytes = test::bytes_of_chunk_page();
  Reader reader;
  reader.feed(bytes);
  auto section = reader.next();
  REQUIRE(std::get<Section>(**section).comment == kHead);
  auto report = reader.next();
  REQUIRE(std::get<Report>(**report).type == FL_FRAME_CONFIGURATION);
  REQUIRE(std::get<Report>(**report).sequence == 1);
  REQUIRE(text(std::get<Report>(**report).payload) == kConfiguration);
  auto interface = reader.next();
  REQUIRE(std::get<Interface>(**interface).comment == kInterface);
  auto packet = reader.next();
  REQUIRE(std::get<Packet>(**packet).timestamp_ns == 1'000'000'001);
  REQUIRE(std::get<Packet>(**packet).sequence == 2);
  REQUIRE(std::get<Packet>(**packet).meta->digest == 0x1122334455667788);
  REQUIRE(std::get<Packet>(**packet).meta->flags == FL_RECORD_REVERSE);
  auto statistics = reader.next();
  REQUIRE(std::get<Statistics>(**statistics).received == 1);
  REQUIRE_FALSE(reader.next()->has_value());
  REQUIRE(reader.offset() == bytes.size());
}
