// SPDX-License-Identifier: Apache-2.0
#include <openssl/ec.h>
#include <openssl/pem.h>

#include <random>

#include "base/event.h"
#include "stream/document.h"
#include "stream/tls.h"
#include "stream_lab.h"

namespace fieldline::stream {
namespace {

using Tcp = asio::ip::tcp;

Tcp::socket plain_client(asio::io_context& io, std::uint16_t port) {
  Tcp::socket socket(io);
  socket.connect({asio::ip::address_v4::loopback(), port});
  return socket;
}

// Waits until the server hangs up.
void wait_for_end(Tcp::socket& socket) {
  std::array<char, 1024> chunk;
  boost::system::error_code error;
  while (!error) socket.read_some(asio::buffer(chunk), error);
}

Bytes hello_of(const nlohmann::json& document) {
  return json_frame(FL_FRAME_HELLO, document);
}

// A producer that has said hello and may send frames.
std::unique_ptr<RawClient> greeted(ArchiveThread& archive, std::uint8_t session = 9) {
  auto client = std::make_unique<RawClient>(archive.port(), &identity("s1"));
  client->send(producer_hello(id_of(session), "s1", "site-a"));
  auto answer = client->receive();
  REQUIRE(answer);
  REQUIRE(answer->first == FL_FRAME_HELLO);
  return client;
}

Bytes one_record(std::uint64_t sequence) {
  return encode_durable(FL_FRAME_HEADER_RECORDS, FL_ENCODING_BINARY, sequence, id_of(1), 1,
                        record_of("x"));
}

TEST_CASE("TLS 1.2 is refused") {
  ArchiveThread archive;
  asio::io_context io;
  asio::ssl::context old(asio::ssl::context::tls_client);
  SSL_CTX_set_max_proto_version(old.native_handle(), TLS1_2_VERSION);
  asio::ssl::stream<Tcp::socket> stream(plain_client(io, archive.port()), old);
  boost::system::error_code error;
  stream.handshake(asio::ssl::stream_base::client, error);
  CHECK(error);
  CHECK(archive.counts(&ServerCounters::tls_failures, 1));
}

TEST_CASE("a certificate of another kind of key is refused") {
  ArchiveThread archive;
  Owned<EVP_PKEY> key(EVP_EC_gen("P-256"));
  Owned<X509> certificate(X509_new());
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  REQUIRE(X509_set_pubkey(certificate.get(), key.get()) == 1);
  REQUIRE(X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0);
  auto curve = identity_of(key.get(), certificate.get());
  REQUIRE(ok(curve));
  RawClient client(archive.port(), &*curve);  // the client's handshake ends before the refusal
  CHECK_FALSE(client.receive());
  CHECK(archive.counts(&ServerCounters::tls_failures, 1));
}

TEST_CASE("what is not TLS, and what says nothing, is hung up on") {
  ServerOptions options = loopback();
  options.handshake_timeout_ns = 500'000'000;
  ArchiveThread archive(options);
  asio::io_context io;
  auto garbage = plain_client(io, archive.port());
  asio::write(garbage, asio::buffer(std::string("GET / HTTP/1.1\r\n\r\n")));
  wait_for_end(garbage);
  auto silent = plain_client(io, archive.port());
  wait_for_end(silent);
  CHECK(archive.counts(&ServerCounters::tls_failures, 2));
  RawClient mute(archive.port());
  CHECK_FALSE(mute.receive());
  CHECK(archive.counts(&ServerCounters::hello_timeouts, 1));
}

TEST_CASE("connections over the limit are closed and counted") {
  ServerOptions options = loopback();
  options.max_connections = 2;
  ArchiveThread archive(options);
  auto one = greeted(archive, 1);
  auto two = greeted(archive, 2);
  asio::io_context io;
  auto three = plain_client(io, archive.port());
  wait_for_end(three);
  CHECK(archive.counts(&ServerCounters::over_limit, 1));
  one.reset();
  CHECK(archive.eventually([&] { return archive.backend.sessions[id_of(1)].closed == 1; }));
  greeted(archive, 3);
}

TEST_CASE("hellos that cannot be are answered with the reason") {
  ArchiveThread archive;
  auto code = [&](const Bytes& bytes, const Identity* who = &identity("s1")) {
    RawClient client(archive.port(), who);
    client.send(bytes);
    return client.error_code();
  };
  nlohmann::json hello = {{"schema", "fieldline.hello/1"}, {"role", "reader"}};
  hello["versions"] = {2, 3};
  CHECK(code(hello_of(hello)) == "unsupported");
  hello["versions"] = {0, 0};
  CHECK(code(hello_of(hello)) == "unsupported");
  hello["schema"] = "fieldline.hello/2";
  CHECK(code(hello_of(hello)) == "unsupported");
  CHECK(archive.counts(&ServerCounters::refused_versions, 3));
  CHECK(code(encode_frame(FL_FRAME_HELLO, 1, view("{"))) == "invalid");
  CHECK(code(one_record(1)) == "invalid");
  CHECK(code(archive_hello(0, "arc")) == "invalid");
  CHECK(code(encode_frame(FL_FRAME_HELLO, 1, Bytes(70'000))) ==
        "invalid");  // too long for a stranger
  CHECK(archive.counts(&ServerCounters::bad_frames, 4));
  CHECK(code(producer_hello(id_of(9), "s1", ""), nullptr) == "denied");
  CHECK(archive.counts(&ServerCounters::refused_keys, 1));
  Bytes reader = reader_hello();
  append(reader, encode_frame(FL_FRAME_REQUEST, 1, view("{}")));  // not authenticated
  CHECK(code(reader, nullptr) == "invalid");
  CHECK(archive.counts(&ServerCounters::bad_frames, 5));
  CHECK(archive.call([&] { return archive.backend.requests; }) == 0);
}

TEST_CASE("frames of a later version are skipped and counted") {
  ArchiveThread archive;
  RawClient client(archive.port(), &identity("s1"));
  client.send(encode_frame(200, 3, Bytes(100)));
  client.send(producer_hello(id_of(9), "s1", "site-a"));
  client.send(encode_frame(17, 0, Bytes(100'000)));
  client.send(one_record(1));
  client.send(encode_frame(0, 0, {}));
  CHECK(client.receive()->first == FL_FRAME_HELLO);
  auto ack = client.receive();
  REQUIRE(ack);
  CHECK(ack->first == FL_FRAME_ACK);
  CHECK(to_hex(view(ack->second)) == "0000000000000001");
  CHECK(archive.counts(&ServerCounters::unknown_frames, 3));
  CHECK(archive.counts(&ServerCounters::bad_frames, 0));
}

TEST_CASE("a bad frame ends its connection, is counted, and what came before it is kept") {
  ArchiveThread archive;
  std::uint64_t bad = 0;
  auto check = [&](const Bytes& frame, std::uint8_t session) {
    auto client = greeted(archive, session);
    client->send(one_record(1));
    client->send(frame);
    client->send(one_record(2));
    std::string code = client->error_code();
    CHECK((code == "invalid" || code == "truncated"));
    CHECK(archive.counts(&ServerCounters::bad_frames, ++bad));
    CHECK(archive.call([&] { return archive.backend.sessions[id_of(session)].items.size(); }) == 1);
  };
  Bytes torn = record_of("abc");
  torn.pop_back();
  check(encode_durable(FL_FRAME_HEADER_RECORDS, 0, 2, id_of(1), 1, torn), 1);
  check(encode_durable(FL_FRAME_HEADER_RECORDS, 0, 2, id_of(1), 2, record_of("abc")), 2);
  check(encode_frame(FL_FRAME_ACTIVATION, 1, view("{}")), 3);
  check(encode_durable(FL_FRAME_ACTIVATION, 1, 2, id_of(1), 1, view("{\"a\":")), 4);
  check(encode_frame(FL_FRAME_STATUS, 1, view(std::string(1000, '['))), 5);
  check(encode_frame(FL_FRAME_DATA, 0, view("x")), 6);
  check(encode_frame(FL_FRAME_HELLO, 1, view("{}")), 7);
  check(encode_frame(FL_FRAME_DATA, 0, Bytes(FL_FRAME_MAX + 1)), 8);
  CHECK(archive.eventually([&] { return archive.backend.sessions[id_of(8)].closed == 1; }));
}

TEST_CASE("EventRecordsOfNoRunShownToEverybody: an archive refuses them") {
  auto item = [](const RunId& run) {
    EventBodyWriter writer(FL_EVENT_EBPF, sizeof(magnet_record), 0, id_of(1));
    const magnet_record record{7, 1, MAGNET_SOCK_SEND, 100};
    writer.add(view_of(record));
    const Bytes bytes =
        encode_durable(FL_FRAME_EVENT_RECORDS, FL_ENCODING_BINARY, 1, run, 1, writer.end());
    FrameReader reader(FL_FRAME_MAX);
    reader.feed(bytes);
    auto frame = reader.next();
    REQUIRE(frame.has_value());
    auto checked = check_item(**frame);
    return checked ? std::string() : checked.error().text();
  };
  CHECK(item(id_of(9)).empty());
  CHECK(item(RunId{}).find("of no run") != std::string::npos);
}

TEST_CASE("a producer that is cut off inside a frame leaves what was whole") {
  ArchiveThread archive;
  auto client = greeted(archive);
  Bytes bytes = one_record(1);
  append(bytes, one_record(2));
  client->send(ByteView(bytes).first(bytes.size() - 3));
  client.reset();
  CHECK(archive.eventually([&] { return archive.backend.sessions[id_of(9)].closed == 1; }));
  CHECK(archive.backend.sessions[id_of(9)].items.size() == 1);
  CHECK(archive.counts(&ServerCounters::bad_frames, 0));
}

TEST_CASE("streams of noise and of damaged frames crash nothing") {
  ArchiveThread archive;
  std::mt19937 random(42);
  for (int i = 0; i < 150; ++i) {
    RawClient client(archive.port(), &identity("s1"));
    Bytes bytes = producer_hello(id_of(static_cast<std::uint8_t>(1 + i)), "s1", "site-a");
    for (std::uint64_t n = 1; n <= 20; ++n) append(bytes, one_record(n));
    append(bytes, encode_frame(FL_FRAME_STATUS, 1, view("{}")));
    if (i % 3 == 0) {
      for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    } else {
      for (unsigned flips = 1 + static_cast<unsigned>(i) % 5; flips > 0; --flips) {
        bytes[random() % bytes.size()] ^= static_cast<std::uint8_t>(1u << random() % 8);
      }
    }
    for (ByteView rest = bytes; !rest.empty();) {
      std::size_t n = std::min<std::size_t>(rest.size(), 1 + random() % 700);
      client.send(rest.first(n));
      rest = rest.subspan(n);
    }
  }
  auto all_gone = [&] {
    for (auto& [id, session] : archive.backend.sessions) {
      if (session.closed != session.opened) return false;
    }
    return true;
  };
  CHECK(archive.eventually(all_gone));
  CHECK(archive.counters().bad_frames > 20);
  CHECK(archive.counts(&ServerCounters::faults, 0));
  greeted(archive, 255);
}

TEST_CASE("a reader that asks faster than it is answered is told to stop") {
  ArchiveThread archive;
  archive.backend.answer = [] { return Result<std::optional<Bytes>>(Bytes()); };  // never ends
  RawClient client(archive.port());
  client.send(reader_hello());
  CHECK(client.receive()->first == FL_FRAME_HELLO);
  auto exporter = query_exporter(client.stream().native_handle());
  REQUIRE(ok(exporter));
  client.send(json_frame(FL_FRAME_AUTH, {{"signature", "signed:" + to_hex(*exporter)}}));
  CHECK(client.receive()->first == FL_FRAME_END);
  for (int i = 0; i < 30; ++i) client.send(json_frame(FL_FRAME_REQUEST, {{"op", "await"}}));
  CHECK(client.error_code() == "exhausted");
  CHECK(archive.eventually([&] { return archive.backend.answers == 0; }));
}

TEST_CASE("a backend that throws costs the one session") {
  ArchiveThread archive;
  archive.backend.answer = []() -> Result<std::optional<Bytes>> { throw std::bad_alloc(); };
  RawClient client(archive.port());
  client.send(reader_hello());
  CHECK(client.receive()->first == FL_FRAME_HELLO);
  auto exporter = query_exporter(client.stream().native_handle());
  client.send(json_frame(FL_FRAME_AUTH, {{"signature", "signed:" + to_hex(*exporter)}}));
  CHECK(client.receive()->first == FL_FRAME_END);
  client.send(json_frame(FL_FRAME_REQUEST, {{"op", "query"}}));
  CHECK_FALSE(client.receive());
  CHECK(archive.counts(&ServerCounters::faults, 1));
  greeted(archive);
}

TEST_CASE("close ends with sessions of every kind and age open") {
  ArchiveThread archive;
  archive.backend.answer = [] { return Result<std::optional<Bytes>>(Bytes()); };
  asio::io_context io;
  auto shaking_hands = plain_client(io, archive.port());
  RawClient before_hello(archive.port());
  auto producing = greeted(archive);
  producing->send(one_record(1));
  RawClient reading(archive.port());
  reading.send(reader_hello());
  CHECK(reading.receive()->first == FL_FRAME_HELLO);
  CHECK(archive.eventually([&] { return archive.backend.sessions[id_of(9)].items.size() == 1; }));
  archive.close();
  CHECK(archive.backend.sessions[id_of(9)].closed == 1);
  CHECK(producing->receive()->first == FL_FRAME_ACK);
}

TEST_CASE("a port in use is an error that says what to do") {
  ArchiveThread archive;
  asio::io_context io;
  MemoryBackend backend;
  auto second =
      Server::listen(io.get_executor(), loopback(archive.port()), identity("archive"), backend);
  REQUIRE_FALSE(ok(second));
  CHECK(second.error().text().find("in use") != std::string::npos);
  ServerOptions options;
  options.address = "not an address";
  CHECK_FALSE(ok(Server::listen(io.get_executor(), options, identity("archive"), backend)));
}

}  // namespace
}  // namespace fieldline::stream
