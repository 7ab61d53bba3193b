// SPDX-License-Identifier: Apache-2.0
// What an application shows of itself on a stream.
#include "stream/document.h"
#include "stream_lab.h"

namespace fieldline::stream {
namespace {

// RFC 8032, 7.1, test 1.
std::array<std::uint8_t, 32> from(std::string_view hex) {
  std::array<std::uint8_t, 32> bytes;
  REQUIRE(from_hex(hex, bytes).has_value());
  return bytes;
}
const std::string kSeed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const std::string kPublic = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

TEST_CASE("a run's key has the same fingerprint in a grant and in TLS") {
  auto made = identity_of_seed(from(kSeed), "a");
  REQUIRE(ok(made));
  CHECK(made->fingerprint == fingerprint_of_key(from(kPublic)));
  CHECK(session_of_key(made->fingerprint).hex() == to_hex(made->fingerprint).substr(0, 32));
}

TEST_CASE("a hello carries the grant, or is refused") {
  auto hello = [](const nlohmann::json& changes) {
    nlohmann::json document = {{"schema", "fieldline.hello/1"},
                               {"role", "producer"},
                               {"versions", {1, 1}},
                               {"session", id_of(1).hex()},
                               {"name", "a"}};
    document.update(changes);
    return parse_hello(view(document.dump()));
  };
  auto plain = hello(nlohmann::json::object());
  REQUIRE(ok(plain));
  CHECK_FALSE(plain->proof.has_value());
  auto shown = hello({{"grant", "AQI="}, {"grant_signature", "AwQ="}});
  REQUIRE(ok(shown));
  REQUIRE(shown->proof.has_value());
  CHECK(shown->proof->grant == Bytes{1, 2});
  CHECK(shown->proof->signature == Bytes{3, 4});
  for (const nlohmann::json& bad :
       {nlohmann::json{{"grant", "AQI="}},
        {{"grant", "AQI="}, {"grant_signature", 7}},
        {{"grant", ""}, {"grant_signature", "AwQ="}},
        {{"grant", "!"}, {"grant_signature", "AwQ="}},
        {{"grant", std::string(4096, 'A')}, {"grant_signature", "AwQ="}}}) {
    CHECK_FALSE(ok(hello(bad)));
  }
}

// The archive's backend is shown what the producer's options hold.
class AskingBackend final : public MemoryBackend {
 public:
  Result<void> admit(const ProducerHello& hello) override {
    shown = hello;
    return {};
  }
  std::optional<ProducerHello> shown;
};

TEST_CASE("a producer shows its grant with the key that the grant names") {
  asio::io_context io{1};
  AskingBackend backend;
  auto server = listen(io, backend);
  const Identity who = identity_of_seed(from(kSeed), "a").value();
  ProducerOptions options = dialling(server->port());
  options.session = session_of_key(who.fingerprint);
  options.proof = RunProof{{1, 2, 3}, {4, 5}};
  auto producer = Producer::create(io.get_executor(), options, who);
  producer->start();
  REQUIRE(run_until(io, [&] { return producer->state() == LinkState::connected; }));
  REQUIRE((backend.shown && backend.shown->proof));
  CHECK(backend.shown->key == fingerprint_of_key(from(kPublic)));
  CHECK(backend.shown->session == options.session);
  CHECK(backend.shown->proof->grant == Bytes{1, 2, 3});
  CHECK(backend.shown->proof->signature == Bytes{4, 5});
}

}  // namespace
}  // namespace fieldline::stream
