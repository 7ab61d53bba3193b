// SPDX-License-Identifier: Apache-2.0
#include <random>

#include "stream_lab.h"

namespace fieldline::stream {
namespace {

// Offers items whose bytes are their numbers, as long as the spool takes them.
struct Feeder {
  explicit Feeder(Producer& producer_) : producer(producer_) {}

  bool offer(std::uint32_t count) {
    Bytes body;
    for (std::uint32_t i = 1; i <= count; ++i) append(body, record_of(std::to_string(taken + i)));
    bool fits = producer.offer(FL_FRAME_HEADER_RECORDS, FL_ENCODING_BINARY, id_of(1), count, body);
    (fits ? taken : dropped) += count;
    return fits;
  }

  Producer& producer;
  std::uint64_t taken = 0, dropped = 0;
};

bool whole(const MemoryBackend::Session& session, std::uint64_t items) {
  if (session.items.size() != items) return false;
  for (std::uint64_t i = 0; i < items; ++i) {
    if (session.items[i] != std::to_string(i + 1)) return false;
  }
  return true;
}

TEST_CASE("records flow, are synced in groups and acknowledged") {
  asio::io_context io;
  MemoryBackend backend;
  auto server = listen(io, backend);
  auto producer = Producer::create(io.get_executor(), dialling(server->port()), identity("s1"));
  std::vector<LinkState> states;
  producer->on_state = [&](LinkState state) { states.push_back(state); };
  Feeder feeder(*producer);
  for (int i = 0; i < 100; ++i) REQUIRE(feeder.offer(3));
  CHECK(producer->state() == LinkState::idle);
  producer->start();
  for (int i = 0; i < 900; ++i) {
    REQUIRE(feeder.offer(1 + i % 3));
    io.poll();
  }
  REQUIRE(run_until(io, [&] { return producer->counters().acknowledged == feeder.taken; }));
  CHECK(whole(backend.sessions[id_of(5)], feeder.taken));
  CHECK(backend.sessions[id_of(5)].name == "s1");
  CHECK(backend.sessions[id_of(5)].gaps == 0);
  CHECK(backend.syncs < 1000);
  auto counters = producer->counters();
  CHECK(sums_hold(counters));
  CHECK(counters.offered == feeder.taken);
  CHECK(counters.spooled_bytes == 0);
  CHECK(counters.resent == 0);
  CHECK(counters.connects == 1);
  CHECK(counters.failures == 0);
  CHECK(close(io, *producer, 1'000'000'000) == true);
  CHECK(states == std::vector{LinkState::connecting, LinkState::connected, LinkState::idle});
  REQUIRE(run_until(io, [&] { return backend.sessions[id_of(5)].closed == 1; }));
  CHECK(close(io, *server));
}

TEST_CASE("an archive with another key is named and told nothing") {
  asio::io_context io;
  MemoryBackend backend;
  auto server = listen(io, backend);
  auto options = dialling(server->port());
  options.archive = identity("another archive").fingerprint;
  auto producer = Producer::create(io.get_executor(), options, identity("s1"));
  producer->start();
  REQUIRE(run_until(io, [&] { return producer->state() == LinkState::wrong_key; }));
  CHECK(producer->last_error().find(to_string(options.archive)) != std::string::npos);
  CHECK(producer->last_error().find(to_string(identity("archive").fingerprint)) !=
        std::string::npos);
  REQUIRE(run_until(io, [&] { return producer->counters().failures >= 3; }));
  CHECK(producer->state() == LinkState::wrong_key);
  CHECK(backend.sessions.empty());
  CHECK(producer->counters().connects == 0);
  CHECK(close(io, *producer, 0) == true);
  CHECK(close(io, *server));
  CHECK(server->counters().bad_frames == 0);
}

TEST_CASE("a producer whose key is not known is refused until it is") {
  asio::io_context io;
  MemoryBackend backend;
  backend.refused_keys.insert(identity("s1").fingerprint);
  auto server = listen(io, backend);
  auto producer = Producer::create(io.get_executor(), dialling(server->port()), identity("s1"));
  Feeder feeder(*producer);
  REQUIRE(feeder.offer(5));
  producer->start();
  REQUIRE(run_until(io, [&] { return server->counters().refused_keys >= 2; }));
  CHECK(producer->state() == LinkState::refused);
  CHECK(producer->last_error().find("add it to [archive] producers") != std::string::npos);
  CHECK(backend.sessions.empty());
  backend.refused_keys.clear();
  REQUIRE(run_until(io, [&] { return producer->counters().acknowledged == 5; }));
  CHECK(producer->last_error().empty());
  CHECK(close(io, *producer, 0) == true);
  CHECK(close(io, *server));
}

TEST_CASE("nobody at the port is unreachable, and the archive is found when it comes") {
  asio::io_context io;
  MemoryBackend backend;
  auto server = listen(io, backend);
  std::uint16_t port = server->port();
  REQUIRE(close(io, *server));
  server.reset();
  auto producer = Producer::create(io.get_executor(), dialling(port), identity("s1"));
  Feeder feeder(*producer);
  REQUIRE(feeder.offer(2));
  producer->start();
  REQUIRE(run_until(io, [&] { return producer->counters().failures >= 5; }));
  CHECK(producer->state() == LinkState::unreachable);
  CHECK(producer->last_error().find("127.0.0.1") != std::string::npos);
  server = listen(io, backend, loopback(port));
  REQUIRE(run_until(io, [&] { return producer->counters().acknowledged == 2; }));
  CHECK(close(io, *producer, 0) == true);
}

TEST_CASE("archives killed in mid-stream lose nothing and keep nothing twice") {
  asio::io_context io;
  MemoryBackend backend;
  auto server = listen(io, backend);
  std::uint16_t port = server->port();
  auto producer = Producer::create(io.get_executor(), dialling(port), identity("s1"));
  Feeder feeder(*producer);
  producer->start();
  std::mt19937 random(11);
  std::uint64_t acknowledged_most = 0;
  for (int kill = 0; kill < 25; ++kill) {
    std::uint64_t until = producer->counters().acknowledged + random() % 200;
    REQUIRE(run_until(io, [&] {
      feeder.offer(static_cast<std::uint32_t>(1 + random() % 40));
      return producer->counters().acknowledged >= until;
    }));
    acknowledged_most = std::max(acknowledged_most, producer->counters().acknowledged);
    server.reset();
    backend.crash();
    REQUIRE(backend.sessions[id_of(5)].items.size() >= acknowledged_most);
    server = listen(io, backend, loopback(port));
  }
  REQUIRE(run_until(io, [&] { return producer->counters().acknowledged == feeder.taken; }));
  CHECK(whole(backend.sessions[id_of(5)], feeder.taken));
  CHECK(backend.sessions[id_of(5)].gaps == 0);
  auto counters = producer->counters();
  CHECK(sums_hold(counters));
  CHECK(counters.connects >= 25);
  CHECK(counters.resent > 0);
  CHECK(close(io, *producer, 0) == true);
  CHECK(close(io, *server));
}

TEST_CASE("a full spool drops and counts, and the report of it still fits") {
  asio::io_context io;
  MemoryBackend backend;
  backend.never_sync = true;
  auto server = listen(io, backend);
  auto options = dialling(server->port());
  options.spool_bytes = 100'000;
  auto producer = Producer::create(io.get_executor(), options, identity("s1"));
  producer->start();
  Feeder feeder(*producer);
  for (int i = 0; i < 3000; ++i) {
    feeder.offer(10);
    io.poll();
  }
  CHECK(feeder.dropped > 0);
  auto counters = producer->counters();
  CHECK(counters.offered == feeder.taken);
  CHECK(counters.dropped_spool == feeder.dropped);
  CHECK(counters.spooled_bytes <= options.spool_bytes);
  CHECK(sums_hold(counters));
  CHECK(producer->offer(FL_FRAME_FINAL_COUNTS, FL_ENCODING_JSON, id_of(1), 1, view("{}")));
  backend.never_sync = false;
  CHECK(producer->offer(FL_FRAME_FINAL_COUNTS, FL_ENCODING_JSON, id_of(1), 1, view("{}")));
  REQUIRE(run_until(io, [&] { return producer->counters().spooled_items == 0; }));
  counters = producer->counters();
  CHECK(sums_hold(counters));
  CHECK(backend.sessions[id_of(5)].items.size() == counters.offered);
  CHECK(backend.sessions[id_of(5)].gaps == 0);
  CHECK(close(io, *producer, 0) == true);
}

TEST_CASE("an archive that acknowledges nothing is taken for dead") {
  asio::io_context io;
  MemoryBackend backend;
  backend.never_sync = true;
  auto server = listen(io, backend);
  auto options = dialling(server->port());
  options.ack_timeout_ns = 50'000'000;
  auto producer = Producer::create(io.get_executor(), options, identity("s1"));
  producer->start();
  REQUIRE(run_until(io, [&] { return producer->state() == LinkState::connected; }));
  std::uint64_t connects = producer->counters().connects;
  Feeder feeder(*producer);
  REQUIRE(feeder.offer(3));
  REQUIRE(run_until(io, [&] { return producer->counters().connects > connects; }));
  CHECK(producer->counters().failures >= 1);
  backend.never_sync = false;
  feeder.offer(1);
  REQUIRE(run_until(io, [&] { return producer->counters().acknowledged == 4; }));
  CHECK(whole(backend.sessions[id_of(5)], 4));
  CHECK(close(io, *producer, 0) == true);
}

TEST_CASE("the newest status replaces those that were not sent") {
  asio::io_context io;
  MemoryBackend backend;
  auto server = listen(io, backend);
  auto producer = Producer::create(io.get_executor(), dialling(server->port()), identity("s1"));
  for (int i = 0; i < 10; ++i) producer->send_status("{\"n\":" + std::to_string(i) + "}");
  producer->start();
  REQUIRE(run_until(io, [&] { return backend.statuses.size() == 1; }));
  CHECK(backend.statuses[0]["n"] == 9);
  producer->send_status("{\"n\":10}");
  REQUIRE(run_until(io, [&] { return backend.statuses.size() == 2; }));
  CHECK(close(io, *producer, 0) == true);
}

TEST_CASE("a close that runs out of time says that items are left") {
  asio::io_context io;
  MemoryBackend backend;
  backend.never_sync = true;
  auto server = listen(io, backend);
  auto producer = Producer::create(io.get_executor(), dialling(server->port()), identity("s1"));
  Feeder feeder(*producer);
  REQUIRE(feeder.offer(3));
  CHECK(close(io, *producer, 1'000'000) == false);  // never started
  producer = Producer::create(io.get_executor(), dialling(server->port()), identity("s1"));
  Feeder again(*producer);
  REQUIRE(again.offer(3));
  producer->start();
  CHECK(close(io, *producer, 30'000'000) == false);
  CHECK(producer->state() == LinkState::idle);
  CHECK(producer->counters().spooled_items == 3);
}

TEST_CASE("after a failed sync nothing is acknowledged and the session resumes from the disk") {
  asio::io_context io;
  MemoryBackend backend;
  auto server = listen(io, backend);
  auto producer = Producer::create(io.get_executor(), dialling(server->port()), identity("s1"));
  producer->start();
  Feeder feeder(*producer);
  REQUIRE(feeder.offer(3));
  REQUIRE(run_until(io, [&] { return producer->counters().acknowledged == 3; }));
  backend.sync_error = fail(Code::io, "no space left on device");
  REQUIRE(feeder.offer(2));
  REQUIRE(run_until(io, [&] { return producer->state() == LinkState::refused; }));
  CHECK(producer->last_error().find("no space left on device") != std::string::npos);
  CHECK(producer->counters().acknowledged == 3);
  backend.crash();
  backend.sync_error.reset();
  REQUIRE(run_until(io, [&] { return producer->counters().acknowledged == 5; }));
  CHECK(whole(backend.sessions[id_of(5)], 5));
  CHECK(server->counters().sync_errors >= 1);
  backend.store_error = fail(Code::io, "read-only file system");
  REQUIRE(feeder.offer(1));
  REQUIRE(run_until(io, [&] { return server->counters().store_errors >= 1; }));
  backend.store_error.reset();
  REQUIRE(run_until(io, [&] { return producer->counters().acknowledged == 6; }));
  CHECK(close(io, *producer, 0) == true);
}

TEST_CASE("a second connection of a session takes the place of the first") {
  asio::io_context io;
  MemoryBackend backend;
  auto server = listen(io, backend);
  auto first = Producer::create(io.get_executor(), dialling(server->port()), identity("s1"));
  Feeder feeder(*first);
  REQUIRE(feeder.offer(3));
  first->start();
  REQUIRE(run_until(io, [&] { return first->counters().acknowledged == 3; }));
  auto thief = Producer::create(io.get_executor(), dialling(server->port()), identity("s2"));
  thief->start();
  REQUIRE(run_until(io, [&] { return thief->state() == LinkState::refused; }));
  CHECK(first->state() == LinkState::connected);
  CHECK(close(io, *thief, 0) == true);
  std::uint64_t connects = first->counters().connects;
  auto twin = Producer::create(io.get_executor(), dialling(server->port()), identity("s1"));
  twin->start();  // the archive has items of this session that the twin never sent: it is refused
                  // by itself
  REQUIRE(run_until(io, [&] { return twin->state() == LinkState::refused; }));
  CHECK(close(io, *twin, 0) == true);
  REQUIRE(run_until(io, [&] { return first->counters().connects > connects; }));
  REQUIRE(feeder.offer(3));
  REQUIRE(run_until(io, [&] { return first->counters().acknowledged == 6; }));
  CHECK(whole(backend.sessions[id_of(5)], 6));
  CHECK(close(io, *first, 0) == true);
}

TEST_CASE("closing the server syncs and acknowledges what it has") {
  asio::io_context io;
  MemoryBackend backend;
  ServerOptions options = loopback();
  options.sync_interval_ns = 3'600'000'000'000;  // not by itself
  auto server = listen(io, backend, options);
  auto producer = Producer::create(io.get_executor(), dialling(server->port()), identity("s1"));
  Feeder feeder(*producer);
  REQUIRE(feeder.offer(7));
  producer->start();
  REQUIRE(run_until(io, [&] { return backend.sessions[id_of(5)].items.size() == 7; }));
  CHECK(producer->counters().acknowledged == 0);
  CHECK(close(io, *server));
  REQUIRE(run_until(io, [&] { return producer->counters().acknowledged == 7; }));
  CHECK(backend.sessions[id_of(5)].closed == 1);
}

TEST_CASE("owners may go away while everything is under way") {
  asio::io_context io;
  MemoryBackend backend;
  auto server = listen(io, backend);
  auto producer = Producer::create(io.get_executor(), dialling(server->port()), identity("s1"));
  Feeder feeder(*producer);
  producer->start();
  for (int turns = 0; turns < 40; ++turns) {
    feeder.offer(10);
    io.restart();
    io.run_one_for(std::chrono::milliseconds(20));
  }
  SECTION("the producer first") {
    producer.reset();
  }
  SECTION("the server first") {
    server.reset();
  }
  SECTION("then the loop runs on") {
    producer.reset();
    server.reset();
    io.restart();
    io.poll();
  }
}

}  // namespace
}  // namespace fieldline::stream
