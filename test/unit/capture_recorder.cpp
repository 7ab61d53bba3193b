// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <cmath>
#include <map>

#include "capture/recorder.h"
#include "proto/digest.h"

using namespace fieldline;
using namespace fieldline::capture;

namespace {

RunId run_of(std::uint8_t byte) {
  RunId id;
  id.bytes.fill(byte);
  return id;
}

// Ethernet, IPv4 with `options` bytes of options, TCP with 12 bytes of options, then payload.
Bytes tcp_frame(std::size_t ip_options, std::size_t payload) {
  Bytes frame(14, 0);
  frame[12] = 8;
  Bytes ip(20 + ip_options, 0);
  ip[0] = static_cast<std::uint8_t>(0x40 | ip.size() / 4);
  ip[9] = 6;
  append(frame, ip);
  Bytes tcp(32, 0);
  tcp[12] = 8 << 4;
  append(frame, tcp);
  frame.resize(frame.size() + payload, 0x77);
  return frame;
}

constexpr std::uint16_t kHeaders = 14 + 20 + 32;  // of tcp_frame(0, ..)

fl_lift lift_of(std::uint32_t slot, std::uint64_t digest = 42) {
  fl_lift lift{};
  lift.timestamp_ns = 5'000'000'100;
  lift.digest = digest;
  lift.wire_len = 1514;
  lift.hits = 1;
  lift.header_len = kHeaders;
  lift.slots[0] = slot;
  return lift;
}

struct Taken {
  RunId run;
  fl_header_record head;
  Bytes data;
};

// A sink that unpacks records, or refuses while `full`.
struct Store {
  bool full = false;
  std::vector<Taken> records;

  Sink sink() {
    return [this](const RunId& run, std::uint32_t count, ByteView body) {
      if (full) return false;
      ByteReader reader(body);
      for (std::uint32_t i = 0; i < count; ++i) {
        auto head = reader.take_struct<fl_header_record>();
        REQUIRE(head.has_value());
        auto data = reader.take(big_endian<std::uint16_t>(head->cap_len));
        REQUIRE(data.has_value());
        records.push_back({run, *head, Bytes(data->begin(), data->end())});
      }
      REQUIRE(reader.left() == 0);
      return true;
    };
  }
};

}  // namespace

TEST_CASE("A packet is fanned out to every run that claims its slot, cut to each run's rights") {
  Store store;
  Recorder recorder(store.sink());
  recorder.claim({{7, {{run_of(1), FL_FORWARD, 0}, {run_of(2), FL_REVERSE, 100}}}});
  Bytes frame = tcp_frame(4, 200);
  fl_lift lift = lift_of(7);
  lift.header_len = kHeaders + 4;
  recorder.on_lift(lift, frame);
  recorder.flush();

  REQUIRE(store.records.size() == 2);
  for (const Taken& taken : store.records) {
    bool first = taken.run == run_of(1);
    CHECK(taken.data.size() == (first ? 14u + 24 + 32 : 100u));
    const auto flags = big_endian<std::uint16_t>(taken.head.flags);
    CHECK((flags & ~FL_RECORD_RANK) == (first ? 0 : FL_RECORD_REVERSE));
    CHECK(big_endian<std::uint64_t>(taken.head.digest) ==
          fl_digest_of_run(taken.run.bytes.data(), 42));
  }
  CHECK(store.records[0].head.digest != store.records[1].head.digest);
}

TEST_CASE("A run that claims several of the slots that matched gets the packet once") {
  Store store;
  Recorder recorder(store.sink());
  recorder.claim({{1, {{run_of(1), FL_FORWARD, 0}}},
                  {2, {{run_of(1), FL_FORWARD, 0}, {run_of(2), FL_FORWARD, 0}}}});
  fl_lift lift = lift_of(1);
  lift.hits = 2;
  lift.slots[1] = 2;
  recorder.on_lift(lift, tcp_frame(0, 0));
  recorder.flush();
  CHECK(store.records.size() == 2);
  CHECK(recorder.counts(run_of(1)).at({0, FL_FORWARD}).recorded == 1);
  CHECK(recorder.counts(run_of(2)).at({0, FL_FORWARD}).recorded == 1);
}

TEST_CASE("ManyRunsOnTwoSlotsGetOneRecordEach") {
  Store store;
  Recorder recorder(store.sink());
  std::vector<Claim> all;
  for (std::uint8_t i = 1; i <= 20; ++i) all.push_back({run_of(i), FL_FORWARD, 0});
  recorder.claim({{1, all}, {2, all}});
  fl_lift lift = lift_of(1);
  lift.hits = 2;
  lift.slots[1] = 2;
  recorder.on_lift(lift, tcp_frame(0, 0));
  recorder.flush();
  CHECK(store.records.size() == 20);
}

namespace {

// The wanted rank, and otherwise ones.
std::uint64_t digest_of_rank(unsigned rank) {
  return UINT64_MAX >> rank;
}

}  // namespace

TEST_CASE("Each run gets its sample of what was lifted for all, and what is cut is counted") {
  Store store;
  Recorder recorder(store.sink());
  recorder.claim({{7,
                   {{run_of(1), FL_FORWARD, 0, 0},
                    {run_of(2), FL_FORWARD, 0, 3},
                    {run_of(3), FL_FORWARD, 0, FL_SAMPLE_NONE}}}});
  for (unsigned rank = 0; rank < 6; ++rank) {
    recorder.on_lift(lift_of(7, digest_of_rank(rank)), tcp_frame(0, 0));
    recorder.flush();
  }
  auto counts = [&](std::uint8_t run) { return recorder.counts(run_of(run)).at({0, FL_FORWARD}); };
  for (const std::uint8_t run : {std::uint8_t{1}, std::uint8_t{2}, std::uint8_t{3}}) {
    CHECK(counts(run).matched == 6);
    CHECK(counts(run).matched_bytes == 6 * 1514);
    CHECK(counts(run).matched == counts(run).recorded + counts(run).sampled_out);
  }
  CHECK(counts(1).recorded == 6);
  CHECK(counts(2).recorded == 3);  // ranks 3, 4, 5
  CHECK(counts(2).bytes == 3 * 1514);
  CHECK(counts(3).recorded == 0);
  REQUIRE(store.records.size() == 9);
  std::map<RunId, std::vector<unsigned>> ranks;
  for (const Taken& taken : store.records)
    ranks[taken.run].push_back(big_endian<std::uint16_t>(taken.head.flags) >> FL_RECORD_RANK_SHIFT);
  CHECK(ranks[run_of(1)] == std::vector<unsigned>{0, 1, 2, 3, 4, 5});
  CHECK(ranks[run_of(2)] == std::vector<unsigned>{3, 4, 5});
}

TEST_CASE("A sample of fewer packets lies inside one of more, and is about as large as it says") {
  std::uint64_t digest = 1;
  std::array<unsigned, 12> kept{};
  for (int i = 0; i < 1 << 16; ++i) {
    digest = fl_digest_of_run(run_of(9).bytes.data(), digest);  // as good as random
    for (unsigned bits = 0; bits < kept.size(); ++bits) {
      kept[bits] += static_cast<unsigned>(fl_sample_keeps(digest, bits));
      REQUIRE(fl_sample_keeps(digest, bits) == (bits <= fl_sample_rank(digest)));
    }
    REQUIRE_FALSE(fl_sample_keeps(digest, FL_SAMPLE_NONE));
  }
  CHECK(kept[0] == 1 << 16);
  for (unsigned bits = 1; bits < 8; ++bits) {
    const double expected = (1 << 16) >> bits;
    CHECK(kept[bits] == Approx(expected).margin(6 * std::sqrt(expected)));
  }
  CHECK(fl_sample_rank(0) == FL_SAMPLE_BITS_MAX);
  CHECK(fl_sample_keeps(0, FL_SAMPLE_BITS_MAX));
}

TEST_CASE("A packet of both directions has the one that its addresses say, in every run once") {
  Store store;
  Recorder recorder(store.sink());
  recorder.claim({{1, {{run_of(1), FL_EITHER}, {run_of(2), FL_FORWARD}}},
                  {2, {{run_of(2), FL_REVERSE}, {run_of(3), FL_REVERSE}}}});
  for (bool ascending : {true, false}) {
    fl_lift lift = lift_of(1);
    lift.hits = 2;
    lift.slots[1] = 2;
    if (ascending) lift.flags |= FL_LIFT_ASCENDING;
    recorder.on_lift(lift, tcp_frame(0, 0));
    recorder.flush();
    REQUIRE(store.records.size() == 3);
    for (const Taken& taken : store.records) {
      const bool reverse = big_endian<std::uint16_t>(taken.head.flags) & FL_RECORD_REVERSE;
      CHECK(reverse == (taken.run == run_of(3) || !ascending));
    }
    store.records.clear();
  }
}

TEST_CASE("A run that was forgotten is given nothing, whatever its claims were") {
  Store store;
  Recorder recorder(store.sink());
  recorder.claim({{7, {{run_of(1), FL_FORWARD, 0}, {run_of(2), FL_FORWARD, 0}}}});
  recorder.forget(run_of(1));
  recorder.on_lift(lift_of(7), tcp_frame(0, 0));
  recorder.flush();
  CHECK(store.records.size() == 1);
  CHECK(recorder.counts(run_of(1)).empty());
  CHECK(recorder.size() == 1);
}

TEST_CASE(
    "A record that is cut inside its headers says so, whoever made the classifier lift more") {
  Store store;
  Recorder recorder(store.sink());
  recorder.claim({{7, {{run_of(1), FL_FORWARD, 40}, {run_of(2), FL_FORWARD, 0}}}});
  recorder.on_lift(lift_of(7), tcp_frame(0, 100));
  recorder.flush();
  REQUIRE(store.records.size() == 2);
  for (const Taken& taken : store.records) {
    bool truncated = big_endian<std::uint16_t>(taken.head.flags) & FL_RECORD_TRUNCATED;
    CHECK(truncated == (taken.run == run_of(1)));
  }
}

TEST_CASE("A super-packet is one record and as many packets as it is on the wire") {
  Store store;
  Recorder recorder(store.sink());
  recorder.claim({{7, {{run_of(1), FL_FORWARD, 0}}}});
  fl_lift lift = lift_of(7);
  lift.wire_len = 66 + 3000;
  lift.gso_size = 1448;
  lift.gso_segs = 3;
  lift.header_len = 66;
  recorder.on_lift(lift, tcp_frame(0, 100));
  recorder.on_lift(lift_of(7), tcp_frame(0, 100));
  recorder.flush();
  REQUIRE(store.records.size() == 2);
  CHECK(big_endian<std::uint16_t>(store.records[0].head.gso_segs) == 3);
  const PointCounts& counts = recorder.counts(run_of(1)).at({0, FL_FORWARD});
  CHECK(counts.recorded == 4);
  CHECK(counts.bytes == 66 * 3 + 3000 + 1514);
  CHECK(counts.super_packets == 1);
}

TEST_CASE("Timestamps leave as UTC") {
  Store store;
  Recorder recorder(store.sink());
  recorder.set_tai_offset_ns(5'000'000'000);
  recorder.claim({{7, {{run_of(1), FL_FORWARD, 0}}}});
  recorder.on_lift(lift_of(7), tcp_frame(0, 0));
  recorder.flush();
  CHECK(big_endian<std::uint64_t>(store.records.at(0).head.timestamp_ns) == 100);
}

TEST_CASE("FullSpoolIsCountedPerPoint: matched = recorded + dropped") {
  Store store;
  Recorder recorder(store.sink());
  recorder.claim({{7, {{run_of(1), FL_FORWARD, 0}}}});
  for (int i = 0; i < 3000; ++i) {
    store.full = i >= 1000;
    recorder.on_lift(lift_of(7), tcp_frame(0, 0));
    recorder.flush();
  }
  const PointCounts& counts = recorder.counts(run_of(1)).at({0, FL_FORWARD});
  CHECK(counts.recorded == 1000);
  CHECK(counts.dropped_spool == 2000);
  CHECK(counts.matched == 3000);
  CHECK(counts.bytes == 1000 * 1514);
  CHECK(store.records.size() == 1000);
}

TEST_CASE("Each archive of a run takes or drops on its own, and its gaps are its own") {
  Store first, second;
  Recorder recorder(std::vector<Sink>{first.sink(), second.sink()});
  recorder.claim({{1, {{run_of(1), FL_FORWARD, 0}}}});
  constexpr std::uint64_t s = 1'000'000'000;
  for (std::uint64_t i = 10; i < 20; ++i) {
    second.full = i == 12 || i == 13;
    fl_lift lift = lift_of(1);
    lift.timestamp_ns = i * s;
    recorder.on_lift(lift, tcp_frame(0, 0));
    recorder.flush();
  }
  const PointCounts& all = recorder.counts(run_of(1), 0).at({0, FL_FORWARD});
  const PointCounts& some = recorder.counts(run_of(1), 1).at({0, FL_FORWARD});
  CHECK((all.matched == 10 && all.recorded == 10 && all.dropped_spool == 0));
  CHECK((some.matched == 10 && some.recorded == 8 && some.dropped_spool == 2));
  CHECK(first.records.size() == 10);
  CHECK(second.records.size() == 8);
  CHECK(recorder.gaps(run_of(1), 0).empty());
  REQUIRE(recorder.gaps(run_of(1), 1).size() == 2);
  const Gap& gap = recorder.gaps(run_of(1), 1)[1];
  CHECK((gap.from_ns == 13 * s && gap.until_ns == 13 * s && gap.count == 1));
}

TEST_CASE("A lift whose run has gone is counted, not given to anybody") {
  Store store;
  Recorder recorder(store.sink());
  recorder.on_lift(lift_of(9), tcp_frame(0, 0));
  recorder.flush();
  CHECK(recorder.unclaimed() == 1);
  CHECK(store.records.empty());
}

TEST_CASE("DeniedFlowInsideATunnel: without the right to look inside a tunnel's headers are all") {
  Store store;
  Recorder recorder(store.sink());
  Claim outside{run_of(1), FL_FORWARD, 200}, inside{run_of(2), FL_FORWARD, 200};
  inside.inner = true;
  recorder.claim({{7, {outside, inside}}});
  fl_lift lift = lift_of(7);
  lift.flags = FL_LIFT_TUNNEL;
  recorder.on_lift(lift, tcp_frame(0, 400));
  recorder.flush();
  REQUIRE(store.records.size() == 2);
  for (const Taken& taken : store.records)
    CHECK(taken.data.size() == (taken.run == run_of(1) ? kHeaders : 200u));
}

TEST_CASE("A record says how many tunnels stand around its packet") {
  Store store;
  Recorder recorder(store.sink());
  recorder.claim({{7, {{run_of(1), FL_FORWARD, 0}}}});
  for (const std::uint8_t depth : {std::uint8_t{0}, std::uint8_t{1}, std::uint8_t{2}}) {
    fl_lift lift = lift_of(7);
    lift.depth = depth;
    recorder.on_lift(lift, tcp_frame(0, 0));
  }
  recorder.flush();
  REQUIRE(store.records.size() == 3);
  for (unsigned depth = 0; depth < 3; ++depth) {
    CHECK((big_endian<std::uint16_t>(store.records[depth].head.flags) & ~FL_RECORD_RANK) ==
          depth << FL_RECORD_DEPTH_SHIFT);
  }
}
