// SPDX-License-Identifier: Apache-2.0
#include "app/requesters.h"

#include <unistd.h>

#include <catch2/catch.hpp>

#include "app/streams.h"
#include "stream_lab.h"

using namespace fieldline;
using namespace fieldline::app;

namespace {

RunId run_of(std::uint64_t number) {
  RunId id;
  for (std::size_t i = 0; i < 8; ++i) id.bytes[i] = static_cast<std::uint8_t>(number >> 8 * i);
  return id;
}

stream::Fingerprint key_of(std::uint64_t number) {
  stream::Fingerprint key{};
  for (std::size_t i = 0; i < 8; ++i) key[i] = static_cast<std::uint8_t>(number >> 8 * i);
  key[31] = 1;
  return key;
}

// An archive that takes what the test says.
struct Fake final : stream::Producer {
  Fake(std::map<std::string, int>& starts, std::string host, stream::ProducerCounters& counted)
      : starts_(starts), host_(std::move(host)), counters_(counted) {}
  void start() override { ++starts_[host_]; }
  bool offer(std::uint8_t, std::uint8_t, const RunId&, std::uint32_t, ByteView) override {
    return true;
  }
  bool has_room() const override { return true; }
  void send_status(std::string) override {}
  boost::asio::awaitable<bool> close(std::uint64_t) override { co_return true; }
  stream::LinkState state() const override { return stream::LinkState::idle; }
  std::string last_error() const override { return "it is not there"; }
  stream::ProducerCounters counters() const override { return counters_; }
  bool kept() const override { return false; }
  bool lags() const override { return false; }
  void share_link(std::shared_ptr<stream::LinkShare>, bool) override {}

  std::map<std::string, int>& starts_;
  std::string host_;
  stream::ProducerCounters& counters_;
};

struct Site {
  boost::asio::io_context io;
  std::map<std::string, int> starts;
  std::vector<std::uint64_t> numbered;  // of each producer that was made
  stream::ProducerCounters counters;
  Requesters requesters{io,
                        [this](const ArchivePin& where, std::uint64_t from) {
                          numbered.push_back(from);
                          return std::make_unique<Fake>(starts, where.host, counters);
                        },
                        0};

  void forget() {
    io.restart();
    io.run();
  }
};

}  // namespace

TEST_CASE("A requester's archive is dialled once something was seen for it, and once only") {
  Site site;
  REQUIRE(site.requesters.begin(run_of(1), key_of(1), "10.0.0.1").has_value());
  REQUIRE(site.requesters.find(key_of(1)) != nullptr);
  CHECK(site.starts.empty());
  site.requesters.dial(key_of(1));
  site.requesters.dial(key_of(1));
  site.requesters.dial(key_of(2));
  CHECK(site.starts == std::map<std::string, int>{{"10.0.0.1", 1}});
  CHECK(site.requesters.report()["dialled"] == 1);
}

TEST_CASE("Another host does not lead astray what goes to an archive that is in use") {
  Site site;
  REQUIRE(site.requesters.begin(run_of(1), key_of(1), "10.0.0.1").has_value());
  CHECK(site.requesters.begin(run_of(2), key_of(1), "10.0.0.9").error().code == Code::exhausted);
  CHECK(site.requesters.begin(run_of(3), key_of(1), "10.0.0.1").has_value());
  site.requesters.end(run_of(1));
  site.forget();
  CHECK(site.requesters.find(key_of(1)) != nullptr);  // run 3 goes on
  site.requesters.end(run_of(3));
  site.forget();
  CHECK(site.requesters.find(key_of(1)) == nullptr);
  CHECK(site.requesters.begin(run_of(4), key_of(1), "10.0.0.9").has_value());
}

TEST_CASE("An archive that has numbers of the session is not met with the same ones again") {
  Site site;
  site.counters.offered = 41;
  for (std::uint64_t run = 1; run <= 4; ++run) {
    site.counters.connects = run == 1;  // it is away in the lives behind the first
    REQUIRE(site.requesters.begin(run_of(run), key_of(1), "10.0.0.1").has_value());
    site.requesters.dial(key_of(1));
    site.requesters.end(run_of(run));
    site.forget();
  }
  CHECK(site.numbered == std::vector<std::uint64_t>{0, 41, 41, 41});
  CHECK(site.starts["10.0.0.1"] == 4);
  CHECK(site.requesters.report()["known"] == 1);
}

TEST_CASE(
    "What an archive does not take is given up by number; one that never answered is forgotten") {
  Site site;
  site.counters.spooled_items = 7;
  REQUIRE(site.requesters.begin(run_of(1), key_of(1), "10.0.0.1").has_value());
  site.requesters.end(run_of(1));
  site.forget();
  CHECK(site.requesters.report()["given_up"] == 0);  // nothing was seen, nothing is missed
  REQUIRE(site.requesters.begin(run_of(2), key_of(1), "10.0.0.1").has_value());
  site.requesters.dial(key_of(1));
  site.requesters.end(run_of(2));
  site.forget();
  CHECK(site.requesters.report()["given_up"] == 7);
  CHECK(site.requesters.report()["known"] == 0);
}

TEST_CASE("Keys that nobody answers for do not fill the table") {
  Site site;
  for (std::uint64_t i = 0; i < 2 * Requesters::kKnown; ++i) {
    REQUIRE(site.requesters.begin(run_of(i), key_of(i), "10.0.0.1").has_value());
    site.requesters.end(run_of(i));
    site.forget();
  }
  for (std::uint64_t i = 0; i < Requesters::kDialled; ++i)
    REQUIRE(site.requesters.begin(run_of(i), key_of(i), "10.0.0.1").has_value());
  auto one_more = site.requesters.begin(run_of(99), key_of(99), "10.0.0.1");
  REQUIRE_FALSE(one_more.has_value());
  CHECK(one_more.error().text().find("select one that is pinned here, or wait") !=
        std::string::npos);
}

TEST_CASE("A session that knows its most says that waiting does not help") {
  Site site;
  site.counters.connects = 1;
  for (std::uint64_t i = 0; i < Requesters::kKnown; ++i) {
    REQUIRE(site.requesters.begin(run_of(i), key_of(i), "10.0.0.1").has_value());
    site.requesters.end(run_of(i));
    site.forget();
  }
  auto one_more = site.requesters.begin(run_of(5000), key_of(5000), "10.0.0.1");
  REQUIRE_FALSE(one_more.has_value());
  CHECK(one_more.error().text().find("or have fieldlined restarted") != std::string::npos);
  CHECK(one_more.error().text().find("wait") == std::string::npos);
  CHECK(site.requesters.begin(run_of(5001), key_of(7), "10.0.0.1").has_value());
  site.requesters.end(run_of(5001));
  site.forget();
  site.requesters.begin_session();
  CHECK(site.requesters.begin(run_of(5002), key_of(5000), "10.0.0.1").has_value());
}

namespace {

// Of this process alone: a requester's archive is dialled on the one port.
std::string loopback_address() {
  const auto process = static_cast<std::uint32_t>(::getpid());
  return "127." + std::to_string(1 + process / 62'500 % 250) + "." +
         std::to_string(1 + process / 250 % 250) + "." + std::to_string(1 + process % 250);
}

}  // namespace

TEST_CASE("An archive that a reload pins goes on behind what it had as a requester's") {
  boost::asio::io_context io;
  stream::MemoryBackend backend;
  stream::ServerOptions listening = stream::loopback(FL_STREAM_PORT);
  listening.address = loopback_address();
  auto server = stream::listen(io, backend, listening);
  const stream::Fingerprint key = stream::identity("archive").fingerprint;
  RoleConfig config;
  config.name = "s1";
  config.archives = {{"127.0.0.1", 1, key_of(1)}};
  config.spool_bytes = 16 << 20;
  Streams streams(io, config, stream::identity("s1"), nullptr,
                  [] { return nlohmann::json::object(); });
  // An item and, in front of a producer's first, the configuration.
  auto gets = [&](std::uint64_t items) {
    const bool taken =
        streams.record(key, FL_FRAME_HEADER_RECORDS, run_of(1), 1, stream::record_of("a packet"));
    return taken && stream::run_until(
                        io, [&] { return backend.sessions[streams.session()].on_disk == items; });
  };
  auto close_streams = [&] {
    bool closed = false;
    boost::asio::co_spawn(io, streams.close(5'000'000'000),
                          [&](std::exception_ptr) { closed = true; });
    return stream::run_until(io, [&] { return closed; });
  };
  REQUIRE(streams.begin_at_requester(run_of(1), key, listening.address).has_value());
  REQUIRE(gets(2));
  streams.end_run(run_of(1));
  REQUIRE(close_streams());  // forgets it at once
  config.archives.push_back({listening.address, FL_STREAM_PORT, key});
  streams.pin(config.archives);
  CHECK(gets(4));
  CHECK(backend.sessions[streams.session()].gaps == 0);
  CHECK(close_streams());
  CHECK(stream::close(io, *server));
}

TEST_CASE(
    "RequestersDropsVanish: what a spool did not take is told after its archive is forgotten") {
  Site site;
  REQUIRE(site.requesters.begin(run_of(1), key_of(1), "10.0.0.1").has_value());
  site.counters.dropped_spool = 5;
  CHECK(site.requesters.report()["dropped_spool"] == 5);
  site.requesters.end(run_of(1));
  site.forget();
  CHECK(site.requesters.find(key_of(1)) == nullptr);
  CHECK(site.requesters.report()["dropped_spool"] == 5);
}
