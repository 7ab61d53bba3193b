// SPDX-License-Identifier: Apache-2.0
// What strangers can take, and what those lose who are not trusted any more.
#include "stream/document.h"
#include "stream/reader.h"
#include "stream_lab.h"

namespace fieldline::stream {
namespace {

std::size_t descriptors() {
  std::size_t open = 0;
  for ([[maybe_unused]] const auto& fd : std::filesystem::directory_iterator("/proc/self/fd"))
    ++open;
  return open;
}

// A reader that has been greeted and is to show who it is.
std::unique_ptr<RawClient> asked(ArchiveThread& archive) {
  auto client = std::make_unique<RawClient>(archive.port());
  client->send(reader_hello());
  auto hello = client->receive();
  REQUIRE(hello);
  REQUIRE(hello->first == FL_FRAME_HELLO);
  return client;
}

Bytes signed_auth(RawClient& client) {
  auto exporter = query_exporter(client.stream().native_handle());
  REQUIRE(ok(exporter));
  return json_frame(FL_FRAME_AUTH, {{"signature", "signed:" + to_hex(*exporter)}});
}

std::unique_ptr<RawClient> reading(ArchiveThread& archive) {
  auto client = asked(archive);
  client->send(signed_auth(*client));
  auto welcome = client->receive();
  REQUIRE(welcome);
  REQUIRE(welcome->first == FL_FRAME_END);
  return client;
}

std::unique_ptr<RawClient> producing(ArchiveThread& archive, const std::string& name,
                                     std::uint8_t session) {
  auto client = std::make_unique<RawClient>(archive.port(), &identity(name));
  client->send(producer_hello(id_of(session), name, "site-a"));
  auto hello = client->receive();
  REQUIRE(hello);
  REQUIRE(hello->first == FL_FRAME_HELLO);
  return client;
}

TEST_CASE("auth documents of wrong types cost no descriptor and throw nothing") {
  ArchiveThread archive;
  std::vector<nlohmann::json> wrong = {
      1, -1.5, true, nullptr, nlohmann::json::array({"x"}), nlohmann::json::object()};
  const std::size_t before = descriptors();
  std::size_t most = 0;
  for (std::size_t i = 0; i < 1000; ++i) {
    auto client = asked(archive);
    client->send(json_frame(FL_FRAME_AUTH, {{"signature", wrong[i % wrong.size()]}}));
    CHECK(client->error_code() == "invalid");
    client.reset();
    most = std::max(most, descriptors());
  }
  CHECK(most < before + 70);
  CHECK(archive.counts(&ServerCounters::bad_frames, 1000));
  CHECK(archive.counts(&ServerCounters::faults, 0));
  CHECK(archive.eventually([&] { return descriptors() <= before; }));
  reading(archive);
}

TEST_CASE("a conversation that ends by an exception closes its socket at once") {
  ArchiveThread archive;
  archive.call([&] { archive.backend.throws = true; });
  const std::size_t before = descriptors();
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 50; ++i) {
    clients.push_back(asked(archive));
    clients.back()->send(signed_auth(*clients.back()));
    CHECK_FALSE(clients.back()->receive());  // and not after the minute for signing
  }
  CHECK(archive.counts(&ServerCounters::faults, 50));
  std::size_t ours = descriptors() - before;
  clients.clear();
  CHECK(descriptors() <= before);
  CHECK(ours < 4 * 50 + 25);  // of the clients: 4 each
}

TEST_CASE("strangers take a quarter of the connections, and keep nobody out") {
  ServerOptions options = loopback();
  options.max_connections = 16;
  ArchiveThread archive(options);
  std::vector<std::unique_ptr<RawClient>> silent;
  for (int i = 0; i < 40; ++i) silent.push_back(std::make_unique<RawClient>(archive.port()));
  CHECK(archive.counts(&ServerCounters::over_limit, 36));
  std::vector<std::unique_ptr<RawClient>> known;
  for (std::uint8_t i = 1; i <= 6; ++i) {
    known.push_back(producing(archive, "s1", i));
    known.push_back(reading(archive));
  }
  // 12 that are known and 4 strangers: all are taken, and those that are known stay.
  for (int i = 0; i < 4; ++i) silent.push_back(std::make_unique<RawClient>(archive.port()));
  CHECK(archive.eventually([&] {
    for (const auto& [id, session] : archive.backend.sessions)
      if (session.closed != 0) return false;
    return archive.backend.sessions.size() == 6;
  }));
  known[1]->send(json_frame(FL_FRAME_REQUEST, {{"op", "runs"}}));
  CHECK(known[1]->error_code() == "not_found");
}

TEST_CASE("whoever is not trusted any more is sent away when trust is read again") {
  ArchiveThread archive;
  auto good = producing(archive, "s1", 1), bad = producing(archive, "s2", 2);
  archive.recheck();
  archive.call([&] { archive.backend.refused_keys.insert(identity("s2").fingerprint); });
  archive.recheck();
  CHECK(bad->error_code() == "denied");
  CHECK(archive.eventually([&] { return archive.backend.sessions[id_of(2)].closed == 1; }));
  CHECK(archive.backend.sessions[id_of(1)].closed == 0);

  archive.call([&] {
    archive.backend.answer = [] { return Result<std::optional<Bytes>>(Bytes()); };  // never ends
  });
  for (const char* now : {"", "another@site-a"}) {
    archive.call([&] { archive.backend.principal = "ops@site-a"; });
    auto reader = reading(archive);
    reader->send(json_frame(FL_FRAME_REQUEST, {{"op", "query"}}));
    CHECK(reader->receive()->first == FL_FRAME_DATA);
    archive.recheck();
    CHECK(archive.call([&] { return archive.backend.answers.load(); }) == 1);
    archive.call([&] { archive.backend.principal = now; });
    archive.recheck();
    CHECK(reader->error_code() == "denied");
    CHECK(archive.eventually([&] { return archive.backend.answers == 0; }));
  }
  good->send(
      encode_durable(FL_FRAME_HEADER_RECORDS, FL_ENCODING_BINARY, 1, id_of(1), 1, record_of("x")));
  CHECK(good->receive()->first == FL_FRAME_ACK);
}

}  // namespace
}  // namespace fieldline::stream
