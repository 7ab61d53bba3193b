// SPDX-License-Identifier: Apache-2.0
#include "stream/reader.h"

#include <csignal>
#include <mutex>

#include "stream_lab.h"

namespace fieldline::stream {
namespace {

ReaderOptions reading(std::uint16_t port) {
  ReaderOptions options;
  options.host = "127.0.0.1";
  options.port = port;
  options.archive = identity("archive").fingerprint;
  options.sign = [](ByteView message) -> Result<std::string> {
    return "signed:" + to_hex(message);
  };
  return options;
}

std::unique_ptr<Reader> connect(const ReaderOptions& options) {
  auto reader = Reader::connect(options);
  REQUIRE(ok(reader));
  return std::move(*reader);
}

// `pieces` pieces of `size` bytes, each of its number; counts those that were asked for.
MemoryAnswer::Next pieces_of(int pieces, std::size_t size, std::atomic<int>& asked) {
  return [=, &asked]() -> Result<std::optional<Bytes>> {
    int number = asked;
    if (number == pieces) return std::optional<Bytes>();
    ++asked;
    return std::optional<Bytes>(Bytes(size, static_cast<std::uint8_t>(number)));
  };
}

TEST_CASE("a reader is known by its signature and gets its answer piece by piece") {
  ArchiveThread archive;
  std::atomic<int> asked{0};
  archive.backend.answer = pieces_of(40, 100'000, asked);
  auto reader = connect(reading(archive.port()));
  CHECK(reader->principal() == "ops@site-a");
  for (int round = 0; round < 2; ++round) {
    asked = 0;
    std::size_t bytes = 0;
    bool in_order = true;
    auto count = [&](ByteView data) {
      for (auto byte : data) in_order = in_order && byte == bytes++ / 100'000;
      return true;
    };
    auto result = reader->request({{"op", "query"}}, count);
    REQUIRE(ok(result));
    CHECK((*result)["records"] == 7);
    CHECK(in_order);
    CHECK(bytes == 4'000'000);
  }
  CHECK(archive.eventually([&] { return archive.backend.answers == 0; }));
}

TEST_CASE("a piece longer than a frame arrives whole") {
  ArchiveThread archive;
  std::atomic<int> asked{0};
  archive.backend.answer = pieces_of(2, (2 << 20) + 5, asked);
  auto reader = connect(reading(archive.port()));
  std::size_t bytes = 0;
  auto count = [&](ByteView data) {
    bytes += data.size();
    return true;
  };
  REQUIRE(ok(reader->request({{"op", "query"}}, count)));
  CHECK(bytes == 2 * ((2 << 20) + 5));
}

TEST_CASE("a signature that is not the principal's is refused") {
  ArchiveThread archive;
  auto options = reading(archive.port());
  options.sign = [](ByteView) -> Result<std::string> { return std::string("forged"); };
  auto refused = Reader::connect(options);
  REQUIRE_FALSE(ok(refused));
  CHECK(refused.error().code == Code::denied);
  CHECK(refused.error().text().find("ask the archive's owner") != std::string::npos);
  CHECK(archive.counts(&ServerCounters::refused_readers, 1));
  options.sign = [](ByteView) -> Result<std::string> { return fail(Code::io, "no agent"); };
  auto unsigned_one = Reader::connect(options);
  REQUIRE_FALSE(ok(unsigned_one));
  CHECK(unsigned_one.error().text().find("no agent") != std::string::npos);
}

TEST_CASE("a signature of one connection is worth nothing on another") {
  ArchiveThread archive;
  std::vector<std::string> messages;
  auto options = reading(archive.port());
  options.sign = [&](ByteView message) -> Result<std::string> {
    messages.push_back(to_hex(message));
    return "signed:" + messages.front();
  };
  REQUIRE(ok(Reader::connect(options)));
  CHECK_FALSE(ok(Reader::connect(options)));
  CHECK(messages[0] != messages[1]);
}

TEST_CASE("an archive with another key gets no signature") {
  ArchiveThread archive;
  auto options = reading(archive.port());
  options.archive = identity("another archive").fingerprint;
  bool was_asked = false;
  options.sign = [&](ByteView) -> Result<std::string> {
    was_asked = true;
    return std::string();
  };
  auto refused = Reader::connect(options);
  REQUIRE_FALSE(ok(refused));
  CHECK(refused.error().code == Code::denied);
  CHECK(refused.error().text().find(to_string(identity("archive").fingerprint)) !=
        std::string::npos);
  CHECK_FALSE(was_asked);
}

TEST_CASE("an archive's error is the request's, and the connection goes on") {
  ArchiveThread archive;
  auto reader = connect(reading(archive.port()));
  auto unknown = reader->request({{"op", "query"}, {"run", "abc"}}, nullptr);
  REQUIRE_FALSE(ok(unknown));
  CHECK(unknown.error().code == Code::not_found);
  CHECK(unknown.error().text().find("no run abc") != std::string::npos);
  int calls = 0;
  archive.call([&] {
    archive.backend.answer = [&]() -> Result<std::optional<Bytes>> {
      if (++calls == 1) return std::optional<Bytes>(Bytes(10));
      return fail(Code::io, "a chunk cannot be read");
    };
  });
  auto torn = reader->request({{"op", "query"}}, nullptr);
  REQUIRE_FALSE(ok(torn));
  CHECK(torn.error().code == Code::io);
  std::atomic<int> asked{0};
  archive.call([&] { archive.backend.answer = pieces_of(1, 10, asked); });
  CHECK(ok(reader->request({{"op", "query"}}, nullptr)));
}

TEST_CASE("a slow reader holds the archive back") {
  ArchiveThread archive;
  std::atomic<int> asked{0};
  constexpr int all = 1024;
  constexpr std::size_t size = 256 << 10;
  archive.backend.answer = pieces_of(all, size, asked);
  auto reader = connect(reading(archive.port()));
  std::size_t bytes = 0;
  int asked_while_slow = 0;
  auto slow = [&](ByteView data) {
    if (bytes == 0) {
      // The loop of the archive turns, and asks for nothing more: it waits for the socket.
      for (int still = 0; still < 300; ++still) {
        int now = asked;
        archive.call([] {});
        if (asked != now) still = 0;
      }
      asked_while_slow = asked;
    }
    bytes += data.size();
    return true;
  };
  REQUIRE(ok(reader->request({{"op", "query"}}, slow)));
  CHECK(asked_while_slow > 0);
  CHECK(asked_while_slow < all / 4);
  CHECK(bytes == all * size);
}

// A followed run: bytes come when the test says so.
struct Followed {
  explicit Followed(ArchiveThread& archive_) : archive(archive_) {
    archive.backend.answer = [this]() -> Result<std::optional<Bytes>> {
      if (ended) return std::optional<Bytes>();
      return std::optional<Bytes>(std::exchange(ready, {}));
    };
  }
  void give(std::string_view what) {
    archive.call([&] {
      append(ready, view(what));
      archive.backend.more();
    });
  }

  ArchiveThread& archive;
  Bytes ready;
  bool ended = false;
};

TEST_CASE("a followed answer says that it stands, goes on, and ends") {
  ArchiveThread archive;
  Followed followed(archive);
  auto reader = connect(reading(archive.port()));
  std::string got;
  int calls = 0;
  auto follow = [&](ByteView data) {
    got += text(data);
    ++calls;
    if (calls == 1) {
      CHECK(data.empty());
      followed.give("one");
    } else if (calls == 2) {
      followed.give("two");
    } else {
      archive.call([&] {
        followed.ended = true;
        archive.backend.more();
        archive.backend.more();
      });
    }
    return true;
  };
  REQUIRE(ok(reader->request({{"op", "await"}}, follow)));
  CHECK(got == "onetwo");
  archive.call([&] { archive.backend.more(); });  // after the end: harmless
}

TEST_CASE("an answer that takes many turns keeps its reader waiting past the first byte's time") {
  ArchiveThread archive;
  int turns = 0;
  auto begun = std::chrono::steady_clock::now();
  archive.backend.answer = [&]() -> Result<std::optional<Bytes>> {
    bool is_late = std::chrono::steady_clock::now() - begun > std::chrono::milliseconds(600);
    if (++turns > 100 && is_late) return std::optional<Bytes>();
    archive.backend.post_more();
    return std::optional<Bytes>(Bytes());
  };
  auto options = reading(archive.port());
  options.timeout_ns = 300'000'000;
  auto reader = connect(options);
  begun = std::chrono::steady_clock::now();
  int pieces = 0;
  auto count = [&](ByteView data) {
    CHECK(data.empty());
    ++pieces;
    return true;
  };
  REQUIRE(ok(reader->request({{"op", "query"}}, count)));
  CHECK(pieces >= 1);
  CHECK(turns > 100);
}

TEST_CASE("a reader that stops early or goes away ends its answer") {
  ArchiveThread archive;
  Followed followed(archive);
  SECTION("on_data says stop") {
    auto reader = connect(reading(archive.port()));
    auto stopped = reader->request({{"op", "await"}}, [](ByteView) { return false; });
    REQUIRE_FALSE(ok(stopped));
    CHECK(stopped.error().code == Code::closed);
    CHECK_FALSE(ok(reader->request({{"op", "runs"}}, nullptr)));
    CHECK(archive.eventually([&] { return archive.backend.answers == 0; }));
  }
  SECTION("on_data throws") {
    auto reader = connect(reading(archive.port()));
    auto thrower = [](ByteView) -> bool { throw std::runtime_error("disk full"); };
    CHECK_THROWS_AS(reader->request({{"op", "await"}}, thrower), std::runtime_error);
    CHECK(archive.eventually([&] { return archive.backend.answers == 0; }));
  }
  SECTION("cancelled from another thread") {
    auto reader = connect(reading(archive.port()));
    std::thread other;
    auto follow = [&](ByteView) {
      other = std::thread([&] { reader->cancel(); });
      return true;
    };
    auto cancelled = reader->request({{"op", "await"}}, follow);
    other.join();
    REQUIRE_FALSE(ok(cancelled));
    CHECK(cancelled.error().code == Code::closed);
    CHECK_FALSE(ok(reader->request({{"op", "runs"}}, nullptr)));
    CHECK(archive.eventually([&] { return archive.backend.answers == 0; }));
  }
  CHECK(archive.backend.requests == 1);
}

Reader* signalled = nullptr;

TEST_CASE("a request is cancelled from a signal handler") {
  ArchiveThread archive;
  Followed followed(archive);
  auto reader = connect(reading(archive.port()));
  signalled = reader.get();
  auto previous = std::signal(SIGUSR1, [](int) { signalled->cancel(); });
  auto cancelled = reader->request({{"op", "await"}}, [](ByteView) {
    std::raise(SIGUSR1);
    return true;
  });
  std::signal(SIGUSR1, previous);
  REQUIRE_FALSE(ok(cancelled));
  CHECK(cancelled.error().code == Code::closed);
}

TEST_CASE("an archive that closes under a followed answer says why") {
  ArchiveThread archive;
  Followed followed(archive);
  auto reader = connect(reading(archive.port()));
  std::thread other;
  auto closed = reader->request({{"op", "await"}}, [&](ByteView) {
    other = std::thread([&] { archive.close(); });
    return true;
  });
  other.join();
  REQUIRE_FALSE(ok(closed));
  CHECK(closed.error().code == Code::closed);
  CHECK(closed.error().text().find("shutting down") != std::string::npos);
  CHECK(archive.backend.answers == 0);
}

TEST_CASE("an archive that does not answer is given up in time") {
  asio::io_context io;
  asio::ip::tcp::acceptor silent(io, {asio::ip::address_v4::loopback(), 0});
  auto options = reading(silent.local_endpoint().port());
  options.timeout_ns = 50'000'000;
  auto timed_out = Reader::connect(options);
  REQUIRE_FALSE(ok(timed_out));
  CHECK(timed_out.error().code == Code::timeout);
  options.port = 1;
  CHECK_FALSE(ok(Reader::connect(options)));
  options.host = std::string(300, 'a');  // no name server need be asked
  auto nameless = Reader::connect(options);
  REQUIRE_FALSE(ok(nameless));
  CHECK(nameless.error().code == Code::not_found);
}

}  // namespace
}  // namespace fieldline::stream
