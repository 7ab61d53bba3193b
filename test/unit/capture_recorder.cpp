// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

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
    CHECK(big_endian<std::uint16_t>(taken.head.flags) == (first ? 0 : FL_RECORD_REVERSE));
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

TEST_CASE("A lift whose run has gone is counted, not given to anybody") {
  Store store;
  Recorder recorder(store.sink());
  recorder.on_lift(lift_of(9), tcp_frame(0, 0));
  recorder.flush();
  CHECK(recorder.unclaimed() == 1);
  CHECK(store.records.empty());
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
    CHECK(big_endian<std::uint16_t>(store.records[depth].head.flags) ==
          depth << FL_RECORD_DEPTH_SHIFT);
  }
}
