// SPDX-License-Identifier: Apache-2.0
// libfieldline's parts that need no archive.
#include "cli_keys.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "base/application_event.h"
#include "base/fd.h"
#include "lib/monitor.h"
#include "lib/outbox.h"
#include "lib/pairs.h"
#include "lib/speaker.h"
#include "lib/watched_socket.h"

using namespace fieldline;
using namespace fieldline::lib;

namespace {

// A connected pair on loopback.
struct Connection {
  Fd listener, client, server;

  Connection() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* at = reinterpret_cast<sockaddr*>(&address);
    listener = Fd(::socket(AF_INET, SOCK_STREAM, 0));
    client = Fd(::socket(AF_INET, SOCK_STREAM, 0));
    REQUIRE(::bind(listener.get(), at, size) == 0);
    REQUIRE(::listen(listener.get(), 1) == 0);
    REQUIRE(::getsockname(listener.get(), at, &size) == 0);
    REQUIRE(::connect(client.get(), at, size) == 0);
    server = Fd(::accept(listener.get(), nullptr, nullptr));
    REQUIRE(server);
    port = ntohs(address.sin_port);
  }
  std::uint16_t port = 0;
};

// A run of a connection's, whose archive is away: nobody listens at port 1.
struct LoneRun {
  explicit LoneRun(std::size_t buffer_bytes = 1 << 20) {
    MonitorOptions options;
    options.config = "/dev/null";
    options.archive = "127.0.0.1:1#SHA256:" + std::string(64, '0');
    options.identity = keys.make("key");
    options.buffer_bytes = buffer_bytes;
    auto made = Monitor::switch_on(connection.client.get(), options);
    REQUIRE(made);
    monitor = std::move(*made);
  }
  Connection connection;
  KeyFolder keys;
  std::unique_ptr<Monitor> monitor;
};

std::uint64_t take_all(Outbox& outbox) {
  std::uint64_t taken = 0;
  while (outbox.take(SIZE_MAX)) ++taken;
  return taken;
}

}  // namespace

TEST_CASE("pairs are read as NetLogger writes them") {
  CHECK(parse_pairs("").value().empty());
  CHECK(parse_pairs("   ").value().empty());
  CHECK(parse_pairs("a=1").value() == Pairs{{"a", "1"}});
  CHECK(parse_pairs("  a=1  b.c=x=y ").value() == Pairs{{"a", "1"}, {"b.c", "x=y"}});
  CHECK(parse_pairs(R"(file="a b \"c\" \\" n="" a=)").value() ==
        Pairs{{"file", "a b \"c\" \\"}, {"n", ""}, {"a", ""}});
}

TEST_CASE("what are no pairs is refused, not guessed at") {
  for (const char* text :
       {"a", "a b=1", "=1", "a=1 b", R"(a="b)", R"(a="b"c=1)", R"(a="\n")", R"(a="\)", "a =1"})
    CHECK(parse_pairs(text).error().code == Code::invalid);
}

TEST_CASE("an event is the speaker's, its level out of the pairs") {
  const Speaker speaker{"a", "xfer", 77};
  const Bytes body = speaker.event("x.start", {{"n", "1"}, {"level", "warn"}}).value();
  const auto event = parse_application_event(body).value();
  CHECK(event.host == "a");
  CHECK(event.program == "xfer");
  CHECK(event.sockid == 77);
  CHECK(event.level == FL_APPLICATION_WARN);
  CHECK(event.pid == static_cast<std::uint32_t>(::getpid()));
  CHECK(event.tid == static_cast<std::uint32_t>(::gettid()));
  REQUIRE(event.pairs.size() == 1);
  CHECK(event.pairs[0].first == "n");
  CHECK(event.timestamp_ns > 1'700'000'000'000'000'000);
  CHECK(speaker.event("x", {{"level", "loud"}}).error().code == Code::invalid);
  CHECK(speaker.event("x y", {}).error().code == Code::invalid);
}

TEST_CASE("the outbox holds what it may, drops the rest, and loses count of none") {
  Outbox outbox(1000);
  CHECK(outbox.put(Bytes(100)) == Outbox::Put::first);
  int further = 0, dropped = 0;
  for (int i = 0; i < 20; ++i)
    ++(outbox.put(Bytes(100)) == Outbox::Put::further ? further : dropped);
  CHECK(dropped > 0);
  CHECK(outbox.put(Bytes(2000)) == Outbox::Put::dropped);
  outbox.refuse();
  const auto counts = outbox.counts();
  CHECK(counts.written == 22);
  CHECK(counts.refused == 1);
  CHECK(counts.written == counts.dropped + counts.held);
  CHECK(take_all(outbox) == counts.held);
  CHECK(outbox.counts().held == 0);
  CHECK(outbox.put(Bytes(100)) == Outbox::Put::first);
}

TEST_CASE("the outbox keeps what its taker has no room for, and takes nothing behind its end") {
  Outbox outbox(1000);
  CHECK(outbox.put(Bytes(100)) == Outbox::Put::first);
  CHECK(outbox.put(Bytes(10)) == Outbox::Put::further);
  CHECK_FALSE(outbox.take(99));
  outbox.close();
  CHECK(outbox.put(Bytes(10)) == Outbox::Put::late);
  CHECK(outbox.take(100).value().size() == 100);
  CHECK(outbox.take(100).value().size() == 10);
  CHECK_FALSE(outbox.take(100));
  CHECK(outbox.counts().written == 3);
  CHECK(outbox.counts().dropped == 1);
}

TEST_CASE("events of several threads are each taken once or counted as dropped") {
  Outbox outbox(10'000);
  constexpr int kThreads = 4, kEach = 2'000;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < kEach; ++n) outbox.put(Bytes(10));
    });
  }
  std::uint64_t taken = 0;
  while (outbox.counts().written < kThreads * kEach) taken += take_all(outbox);
  for (auto& thread : threads) thread.join();
  taken += take_all(outbox);
  CHECK(taken + outbox.counts().dropped == kThreads * kEach);
}

TEST_CASE("a run is switched off by whoever does, once and again") {
  LoneRun run;
  REQUIRE(run.monitor->write("x", {}));
  std::vector<std::thread> threads;
  std::vector<Counts> said(3);
  for (Counts& counts : said)
    threads.emplace_back([&] { counts = run.monitor->switch_off(kNanosPerMilli); });
  for (auto& thread : threads) thread.join();
  said.push_back(run.monitor->switch_off(0));
  for (const Counts& counts : said) {
    CHECK(counts.written == 1);
    CHECK(counts.pending == 1);
  }
}

TEST_CASE("what is dropped was refused when it was written") {
  LoneRun run(4096);
  std::uint64_t refused = 0;
  for (int i = 0; i < 300; ++i) {
    refused += !run.monitor->write("x", {{"i", std::to_string(i)}});
    if (i % 10 == 0) run.monitor->counts();  // the thread takes what it has room for
  }
  Counts counts = run.monitor->counts();
  CHECK(refused > 0);
  CHECK(counts.dropped == refused);
  CHECK(counts.pending == 300 - refused);
  counts = run.monitor->switch_off(kNanosPerMilli);
  CHECK(counts.dropped == refused);
  CHECK(counts.pending == 300 - refused);
  CHECK_FALSE(run.monitor->write("late", {}));
  CHECK(run.monitor->switch_off(0).dropped == refused + 1);
}

TEST_CASE("a run that is let go has ended") {
  LoneRun run;
  REQUIRE(run.monitor->write("x", {}));
  run.monitor.reset();
}

TEST_CASE("of a socket its flow, its marking and its cookie are known") {
  Connection connection;
  int tos = 0x2b;  // AF11 and something, with ECN bits
  REQUIRE(::setsockopt(connection.client.get(), IPPROTO_IP, IP_TOS, &tos, sizeof tos) == 0);
  auto socket = look_at(connection.client.get());
  REQUIRE(socket);
  CHECK(socket->plan.protocol == IPPROTO_TCP);
  CHECK(socket->plan.local.to_string() == "127.0.0.1");
  CHECK(socket->plan.remote.to_string() == "127.0.0.1");
  REQUIRE(socket->plan.pairs.size() == 1);
  CHECK(socket->plan.pairs[0].b == connection.port);
  CHECK(socket->plan.pairs[0].a != 0);
  CHECK(socket->plan.traffic_class == 0x28);
  CHECK(socket->cookie != 0);
  auto other = look_at(connection.server.get());
  REQUIRE(other);
  CHECK(other->plan.pairs[0].a == connection.port);
  CHECK(other->cookie != socket->cookie);
}

TEST_CASE("what is no connected TCP or UDP socket is refused in words") {
  Connection connection;
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const Fd in(ends[0]), out(ends[1]), udp(::socket(AF_INET, SOCK_DGRAM, 0)),
      local(::socket(AF_UNIX, SOCK_STREAM, 0));
  for (int fd : {-1, in.get(), udp.get(), local.get(), connection.listener.get()}) {
    auto socket = look_at(fd);
    REQUIRE_FALSE(socket);
    CHECK(socket.error().code == Code::invalid);
    CHECK_FALSE(socket.error().text().empty());
  }
}
