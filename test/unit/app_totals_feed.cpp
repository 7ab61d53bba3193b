// SPDX-License-Identifier: Apache-2.0
// To whom the load of ports is given, and what is counted where there is no room. Nothing is
// dialled: the executor never runs, and so time is the test's.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "app/totals_feed.h"

using namespace fieldline;
using namespace fieldline::app;

namespace {

class Fake final : public Clock {
 public:
  std::uint64_t utc_ns() const override { return 1'700'000'000 * kNanosPerSecond + now; }
  std::uint64_t monotonic_ns() const override { return now; }
  std::uint64_t tai_ns() const override { return utc_ns(); }
  std::uint64_t now = kNanosPerSecond;
};

stream::Fingerprint key_of(std::uint8_t byte) {
  stream::Fingerprint key;
  key.fill(byte);
  return key;
}

RoleConfig config_of(std::uint64_t spool_bytes) {
  RoleConfig config;
  config.name = "s1";
  config.archives = {{"127.0.0.1", 1, key_of(1)}, {"127.0.0.1", 1, key_of(2)}};
  config.spool_bytes = spool_bytes;
  return config;
}

stream::Identity identity() {
  std::string folder = "/tmp/fieldline-totals-XXXXXX";
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  auto made = stream::load_or_create_identity(folder + "/key.pem", "s1");
  std::filesystem::remove_all(folder);
  REQUIRE(made.has_value());
  return std::move(*made);
}

struct Scene {
  boost::asio::io_context io;
  Fake clock;
  Streams streams;
  fl_port_counters counters{};
  bool readable = true;
  int drained = 0;
  TotalsFeed feed;
  const stream::Fingerprint own = key_of(1), other = key_of(2);

  explicit Scene(std::uint64_t spool_bytes = 1 << 20)
      : streams(io, config_of(spool_bytes), identity(), nullptr,
                [] { return nlohmann::json::object(); }),
        feed(
            io, streams, clock, 2,
            [this](std::uint16_t) -> Result<fl_port_counters> {
              if (!readable) return fail(Code::io, "no counters");
              return counters;
            },
            [this] { ++drained; }) {}
  void hand_over(std::set<stream::Fingerprint> archives) {
    clock.now += 10 * kNanosPerMilli;
    ++counters.packets;
    feed.hand_over(std::move(archives));
  }
  // Each stream begins with its configuration.
  std::uint64_t frames(const stream::Fingerprint& archive) {
    return streams.to(archive).counters().offered - 1;
  }
  std::uint64_t told(const char* what) { return feed.status()[what].get<std::uint64_t>(); }
};

}  // namespace

TEST_CASE("load is given to the archives of the runs that were on, up to the change") {
  Scene scene;
  scene.hand_over({scene.own});
  CHECK(scene.frames(scene.own) == 0);
  scene.hand_over({scene.own, scene.other});
  CHECK(scene.frames(scene.own) == 1);
  CHECK(scene.frames(scene.other) == 0);
  scene.hand_over({scene.other});
  CHECK(scene.frames(scene.own) == 2);
  CHECK(scene.frames(scene.other) == 1);
  scene.hand_over({scene.other});
  CHECK(scene.frames(scene.own) == 2);
  CHECK(scene.frames(scene.other) == 2);
  CHECK(scene.told("periods") == 4);
  CHECK(scene.drained == 3);
  // The last run is gone: what follows its end is nobody's.
  scene.hand_over({});
  scene.hand_over({scene.own});
  CHECK(scene.frames(scene.own) == 2);
  CHECK(scene.frames(scene.other) == 2);
}

TEST_CASE("load that is switched off is not read, and begins anew when it is switched on") {
  Scene scene;
  scene.feed.enable(false);
  scene.hand_over({scene.own});
  scene.hand_over({scene.own});
  CHECK(scene.frames(scene.own) == 0);
  scene.feed.enable(true);
  scene.hand_over({scene.own});
  CHECK(scene.frames(scene.own) == 1);
  scene.clock.now += 10 * kNanosPerMilli;
  scene.feed.enable(false);  // what was read before is given
  CHECK(scene.frames(scene.own) == 2);
  CHECK_FALSE(scene.feed.status()["enabled"].get<bool>());
}

TEST_CASE("load is the first that a spool drops, and it is counted") {
  Scene scene;
  scene.hand_over({scene.own});
  RunId run;
  run.bytes[0] = 1;
  while (scene.streams.has_room(scene.own))
    REQUIRE(scene.streams.own().offer(FL_FRAME_HEADER_RECORDS, FL_ENCODING_BINARY, run, 1,
                                      Bytes(50'000)));
  const std::uint64_t before = scene.frames(scene.own);
  scene.hand_over({scene.own});
  scene.hand_over({scene.own});
  CHECK(scene.frames(scene.own) == before);
  CHECK(scene.told("periods") == 0);
  CHECK(scene.told("dropped_spool") == 2);
  // Records still find room.
  CHECK(scene.streams.own().offer(FL_FRAME_HEADER_RECORDS, FL_ENCODING_BINARY, run, 1,
                                  Bytes(50'000)));
}

TEST_CASE("a reading that fails makes the next period longer") {
  Scene scene;
  scene.hand_over({scene.own});
  scene.readable = false;
  scene.hand_over({scene.own});
  CHECK(scene.frames(scene.own) == 0);
  CHECK(scene.told("read_errors") == 1);
  scene.readable = true;
  scene.hand_over({scene.own});
  CHECK(scene.frames(scene.own) == 1);
  CHECK(scene.told("periods") == 1);
}
