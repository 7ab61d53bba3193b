// SPDX-License-Identifier: Apache-2.0
#include "archive_fixture.h"
#include "test/format/chunk_page.h"

using namespace fieldline;
using namespace fieldline::test;

TEST_CASE("the archive writes the chunk that docs/format/chunk.md shows") {
  TempDir dir;
  auto archive = open_archive(dir.path());
  const RunId session = id_of(0x51), run = id_of(0xa1);
  REQUIRE(archive->open_session(session, "SHA256:00", "s1", "site-a"));
  Document configuration{
      FL_FRAME_CONFIGURATION, 1, {}, R"({"sensor":"s1","ports":[{"port":0,"interface":"t-up"}]})"};
  REQUIRE(archive->append(session, configuration.report()));
  const Bytes data{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 8, 0, 0x45};
  auto item = record(run, 2, data, 1'000'000'001);
  item.meta.queue = 2;
  item.meta.flags = FL_RECORD_REVERSE;
  item.meta.digest = 0x1122334455667788;
  REQUIRE(archive->append(session, item));
  REQUIRE(archive->close_session(session));
  auto files = chunk_files(dir.path(), "sealed");
  REQUIRE(files.size() == 1);
  REQUIRE(to_hex(slurp(files.front())) == to_hex(bytes_of_chunk_page()));
}
