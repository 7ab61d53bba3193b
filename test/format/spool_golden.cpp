// SPDX-License-Identifier: Apache-2.0
// The worked example of docs/format/spool.md, byte by byte, written and read.
#include <catch2/catch.hpp>

#include <unistd.h>

#include <cstdio>
#include <string>

#include "base/file.h"
#include "stream/frame.h"
#include "stream/spool_segment.h"

namespace fieldline::stream {
namespace {

std::string hex_of_page() {
  auto page = read_file("docs/format/spool.md");
  REQUIRE(page.has_value());
  auto from = page->find("<!-- golden -->"), to = page->find("<!-- /golden -->");
  REQUIRE(to != std::string::npos);
  std::string hex;
  for (std::size_t at = page->find('\n', from) + 1; at < to;) {
    std::size_t end = page->find('\n', at);
    std::string line = page->substr(at, end - at);
    at = end + 1;
    if (line.starts_with("    ")) hex += line.substr(4, line.find("  ", 4) - 4);
  }
  std::erase(hex, ' ');
  return hex;
}

SegmentHead golden_head() {
  SegmentHead head;
  head.session = RunId::parse("000102030405060708090a0b0c0d0e0f").value();
  head.archive.fill(0xaa);
  head.first = 41;
  return head;
}

SpoolFrame golden_frame() {
  const RunId run = RunId::parse("101112131415161718191a1b1c1d1e1f").value();
  return {41, 1, encode_durable(FL_FRAME_FINAL_COUNTS, FL_ENCODING_JSON, 41, run, 1, view("{}"))};
}

TEST_CASE("spool: a segment is written as the page says") {
  Bytes segment = golden_head().encode();
  append_to_segment(segment, golden_frame());
  CHECK(to_hex(segment) == hex_of_page());
  CHECK(golden_head().file() ==
        "000102030405060708090a0b0c0d0e0f-aaaaaaaaaaaaaaaa-0000000000000029.spool");
}

TEST_CASE("spool: a segment is read as the page says") {
  const std::string hex = hex_of_page();
  Bytes segment(hex.size() / 2);
  REQUIRE(from_hex(hex, segment).has_value());
  char path[] = "/tmp/spool-golden-XXXXXX";
  const int fd = ::mkstemp(path);
  REQUIRE(fd >= 0);
  REQUIRE(::write(fd, segment.data(), segment.size()) == static_cast<ssize_t>(segment.size()));
  ::close(fd);
  auto reader = SegmentReader::open(system_files(), path);
  std::remove(path);
  REQUIRE(reader.has_value());
  CHECK(reader->head().session == golden_head().session);
  CHECK(reader->head().archive == golden_head().archive);
  CHECK(reader->head().first == 41);
  auto frame = reader->next(segment.size());
  REQUIRE((frame.has_value() && frame->has_value()));
  CHECK((*frame)->bytes == golden_frame().bytes);
  CHECK((*frame)->last == 41);
  auto end = reader->next(segment.size());
  REQUIRE(end.has_value());
  CHECK(!end->has_value());
}

}  // namespace
}  // namespace fieldline::stream
