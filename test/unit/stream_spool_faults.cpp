// SPDX-License-Identifier: Apache-2.0
// A spool whose n-th operation fails, for every n; whose files end at every byte; that finds every
// byte of them changed; and whose n-th allocation fails. What was numbered is delivered once and in
// order, or counted as lost.
#include "stream_spools.h"
#include "test/support/fault_memory.h"

namespace fieldline::stream {
namespace {

using After = test::FaultFiles::After;

Bytes slurp(const std::string& path) {
  auto text = read_file(path, 64 << 20);
  REQUIRE(ok(text));
  return Bytes(text->begin(), text->end());
}

void spit(const std::string& path, ByteView bytes) {
  std::filesystem::remove(path);
  auto file = system_files().open(path, FileSystem::Mode::create);
  REQUIRE(ok(file));
  REQUIRE(ok((*file)->append(bytes)));
}

// An archive that is away, comes back, goes, and comes back for good.
void live(SpoolLab& lab) {
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 24; ++i) lab.offer(2, 100'000);
    lab.reconnect(lab.sent);
    for (int i = 0; i < 6; ++i) lab.deliver(400'000);
    lab.reconnect(lab.sent);
  }
  for (int i = 0; i < 200 && lab.spool->items() > 0; ++i) {
    lab.deliver(400'000);
    lab.reconnect(lab.sent);
  }
}

TEST_CASE("spool: the n-th operation fails once, and nothing that was numbered is lost") {
  std::uint64_t operations = 0;
  for (std::uint64_t n = 0; n <= operations; ++n) {
    INFO("operation " << n);
    SpoolLab lab;
    lab.files.fail_at(n, After::recovers);
    if (!lab.open()) {
      REQUIRE(lab.files.struck());
      REQUIRE(lab.open());  // the next start
    }
    live(lab);
    if (n == 0) operations = lab.files.count();
    REQUIRE(lab.spool->items() == 0);
    REQUIRE(lab.spool->disk()->lost() == 0);  // a failed read is tried again
    REQUIRE(lab.delivered == lab.spool->offered());
    REQUIRE(lab.spool->offered() + lab.spool->dropped() == 96);
  }
  CHECK(operations > 30);
}

TEST_CASE("spool: the disk dies at the n-th operation; what is not delivered is counted") {
  for (std::uint64_t n = 1;; ++n) {
    INFO("operation " << n);
    SpoolLab lab;
    lab.files.fail_at(n, After::stays_dead);
    if (!lab.open()) continue;
    live(lab);
    REQUIRE(lab.spool->items() == 0);
    REQUIRE(lab.delivered + lab.spool->disk()->lost() == lab.spool->offered());
    REQUIRE(lab.spool->offered() + lab.spool->dropped() == 96);
    REQUIRE((lab.spool->disk()->errors() > 0) == lab.files.struck());
    if (!lab.files.struck()) break;
  }
}

struct Spilled {
  std::string name;
  Bytes bytes;
  std::vector<std::uint64_t> ends;  // of the file, behind each frame
  std::uint64_t first = 0;
};

// Six frames of three items each in one segment.
Spilled spill(SpoolLab& lab) {
  REQUIRE(lab.open());
  for (int i = 0; i < 6; ++i) REQUIRE(lab.offer(3, 40 + i));
  REQUIRE(lab.spool->keep());
  auto names = lab.segments();
  REQUIRE(names.size() == 1);
  Spilled out{names[0], slurp(names[0]), {}, lab.spool->disk()->first()};
  lab.kill();
  auto reader = SegmentReader::open(lab.files, out.name);
  REQUIRE(ok(reader));
  std::uint64_t at = sizeof(fl_spool_segment);
  for (;;) {
    auto frame = reader->next(out.bytes.size());
    REQUIRE(ok(frame));
    if (!*frame) break;
    out.ends.push_back(at += size_in_segment(**frame));
  }
  REQUIRE(out.ends.size() == 6);
  REQUIRE(out.ends.back() == out.bytes.size());
  return out;
}

TEST_CASE("spool: every prefix of a segment reopens with its whole frames") {
  SpoolLab lab;
  const Spilled spilled = spill(lab);
  for (std::size_t cut = 0; cut <= spilled.bytes.size(); ++cut) {
    INFO("cut at " << cut);
    spit(spilled.name, ByteView(spilled.bytes).first(cut));
    REQUIRE(lab.open());
    std::uint64_t whole = 0;
    for (std::uint64_t end : spilled.ends) whole += end <= cut;
    if (whole == 0) {
      REQUIRE(lab.folder->leftovers.empty());
      REQUIRE(lab.folder->troubles.size() == 1);
    } else {
      REQUIRE(lab.rest_of(lab.folder->leftovers.at(0), 0).size() == 3 * whole);
    }
    REQUIRE(lab.segments().empty());
    REQUIRE(lab.folder->used() == 0);
    lab.kill();
  }
}

TEST_CASE("spool: a segment with any byte changed gives the frames before it and counts the rest") {
  SpoolLab lab;
  const Spilled spilled = spill(lab);
  for (std::size_t at = 0; at < spilled.bytes.size(); ++at) {
    INFO("byte " << at);
    Bytes damaged = spilled.bytes;
    damaged[at] ^= 0x40;
    spit(spilled.name, damaged);
    REQUIRE(lab.open());
    std::uint64_t whole = 0;
    for (std::uint64_t end : spilled.ends) whole += end <= at;
    if (lab.folder->leftovers.empty()) {
      REQUIRE(whole == 0);
      REQUIRE(!lab.folder->troubles.empty());
      std::filesystem::remove(spilled.name);
    } else {
      REQUIRE(lab.rest_of(lab.folder->leftovers.at(0), 0).size() == 3 * whole);
    }
    lab.kill();
  }
}

TEST_CASE("spool: damage while the session lives costs what is behind it in its segment alone") {
  SpoolLab lab;
  REQUIRE(lab.open());
  for (int i = 0; i < 300; ++i) REQUIRE(lab.offer(1, 100'000));
  auto names = lab.segments();
  REQUIRE(names.size() > 2);
  Bytes bytes = slurp(names[1]);
  bytes[bytes.size() / 2] ^= 1;
  spit(names[1], bytes);
  for (int i = 0; i < 1000 && lab.spool->items() > 0; ++i) lab.deliver(400'000);
  CHECK(lab.spool->items() == 0);
  CHECK(lab.spool->disk()->lost() > 0);
  CHECK(lab.delivered + lab.spool->disk()->lost() == 300);
  CHECK(lab.got.back() == 300);
  REQUIRE(lab.troubles.size() == 1);
  CHECK(lab.troubles[0].find("are lost") != std::string::npos);
  CHECK(lab.segments().empty());
}

TEST_CASE("spool: the n-th allocation fails; what was numbered is delivered once") {
  test::FaultMemory memory;
  for (std::uint64_t n = 1;; ++n) {
    INFO("allocation " << n);
    SpoolLab lab;
    REQUIRE(lab.open(1 << 30, 256 << 10));
    lab.troubles.reserve(8);
    const Bytes body(90'000);
    Bytes batch;
    bool struck = false;
    int away = 0;
    auto work = [&] {
      for (; away < 16; ++away)
        lab.spool->offer(FL_FRAME_HEADER_RECORDS, FL_ENCODING_BINARY, {}, 2, body);
      if (!lab.spool->take(batch, 1 << 20)) return;
      if (!lab.spool->acknowledge(8)) return;
      (void)lab.spool->take(batch, 1 << 20);
    };
    memory.run(n, work);
    struck = memory.struck();
    // What the broken connection carried is not known to have arrived.
    lab.sent = lab.spool->acknowledged();
    const std::uint64_t before = lab.sent;
    lab.reconnect(before);
    for (int i = 0; i < 200 && lab.spool->items() > 0; ++i) lab.deliver(400'000);
    REQUIRE(lab.spool->items() == 0);
    REQUIRE(lab.spool->disk()->lost() == 0);
    REQUIRE(before + lab.delivered == lab.spool->offered());
    REQUIRE(lab.folder->used() == 0);
    if (!struck) break;
  }
}

}  // namespace
}  // namespace fieldline::stream
