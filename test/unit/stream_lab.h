// SPDX-License-Identifier: Apache-2.0
// What the tests of stream/ share: an archive in memory behind the real server, on loopback with
// real TLS.
#pragma once

#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>

#include <nlohmann/json.hpp>

#include "stream/frame.h"
#include "stream/identity.h"
#include "stream/producer.h"
#include "stream/server.h"

namespace fieldline::stream {

namespace asio = boost::asio;

// Catch2 cannot print a Result; a failed check shows the error.
template <class T>
bool ok(const Result<T>& result) {
  if (!result) UNSCOPED_INFO(result.error().text());
  return result.has_value();
}

// A folder that goes away with its owner.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "fieldline-stream.XXXXXX");
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline const Identity& identity(const std::string& name) {
  static Folder folder;
  static std::map<std::string, Identity> made;
  auto found = made.find(name);
  if (found == made.end()) {
    auto fresh = load_or_create_identity(folder / name, name);
    REQUIRE(ok(fresh));
    found = made.emplace(name, *fresh).first;
  }
  return found->second;
}

inline RunId id_of(std::uint8_t number) {
  RunId id;
  id.bytes.fill(number);
  return id;
}

// One header record whose captured bytes are `text`.
inline Bytes record_of(const std::string& text) {
  HeaderRecord record;
  record.head.timestamp_ns = 1'700'000'000'000'000'000;
  record.head.wire_len = 1514;
  record.data = view(text);
  Bytes body;
  append_record(body, record);
  return body;
}

// An answer in pieces; an empty piece is "nothing now".
class MemoryAnswer final : public Answer {
 public:
  using Next = std::function<Result<std::optional<Bytes>>()>;
  MemoryAnswer(Next next, std::atomic<int>& alive) : next_(std::move(next)), alive_(alive) {
    ++alive_;
  }
  ~MemoryAnswer() override { --alive_; }
  Result<std::optional<Bytes>> next() override { return next_(); }
  nlohmann::json result() override { return {{"records", 7}}; }

 private:
  Next next_;
  std::atomic<int>& alive_;
};

class MemoryBackend : public Backend {
 public:
  struct Session {
    std::vector<std::string>
        items;  // items[n - 1] is item n: captured bytes, or the body of a report
    std::uint64_t on_disk = 0, arrived = 0, gaps = 0;
    int opened = 0, closed = 0;
    std::string name;
  };

  Result<void> admit(const ProducerHello& hello) override {
    if (refused_keys.count(hello.key)) {
      return fail(Code::denied, "this key may not produce; add it to [archive] producers");
    }
    return {};
  }

  Result<std::uint64_t> open_session(const ProducerHello& hello) override {
    Session& session = sessions[hello.session];
    ++session.opened;
    session.name = hello.name;
    return session.on_disk;
  }

  Result<void> store(const RunId& id, const Frame& frame, const Item& item) override {
    if (store_error) return *store_error;
    Session& session = sessions[id];
    session.arrived += item.count;
    if (item.sequence > session.items.size() + 1) ++session.gaps;
    std::uint64_t sequence = item.sequence;
    auto keep = [&](ByteView bytes) {
      if (sequence++ > session.items.size()) session.items.emplace_back(text(bytes));
    };
    if (frame.type != FL_FRAME_HEADER_RECORDS) {
      keep(item.body);
      return {};
    }
    return for_each_record(item, [&](const HeaderRecord& record) { keep(record.data); });
  }

  void status(const RunId&, const nlohmann::json& status) override { statuses.push_back(status); }
  void close_session(const RunId& session) override { ++sessions[session].closed; }

  Result<void> sync(const std::function<void(const RunId&, std::uint64_t)>& safe) override {
    ++syncs;
    if (never_sync) return {};
    if (sync_error) return *sync_error;
    for (auto& [id, session] : sessions) {
      if (session.items.size() == session.on_disk) continue;
      session.on_disk = session.items.size();
      safe(id, session.on_disk);
    }
    return {};
  }

  Result<std::string> authenticate(ByteView exporter, const nlohmann::json& auth) override {
    if (throws) throw std::runtime_error("out of memory");
    if (principal.empty() || auth.value("signature", "") != "signed:" + to_hex(exporter)) {
      return fail(Code::denied, "no such principal; ask the archive's owner");
    }
    return principal;
  }

  Result<std::unique_ptr<Answer>> request(const std::string&, const nlohmann::json& request,
                                          std::function<void()> on_more) override {
    ++requests;
    more = std::move(on_more);
    if (!answer) return fail(Code::not_found, "no run " + request.value("run", "?"));
    return std::unique_ptr<Answer>(std::make_unique<MemoryAnswer>(answer, answers));
  }

  // As an answer does that has more to do and gives way to others.
  void post_more() { asio::post(executor, more); }

  // What was not synced is lost, as by a power cut.
  void crash() {
    for (auto& [id, session] : sessions) session.items.resize(session.on_disk);
  }

  std::map<RunId, Session> sessions;
  std::set<Fingerprint> refused_keys;
  std::vector<nlohmann::json> statuses;
  std::optional<Error> store_error, sync_error;
  std::string principal = "ops@site-a";  // of everybody who signs; empty: of nobody
  bool throws = false;
  bool never_sync = false;
  std::uint64_t syncs = 0, requests = 0;
  MemoryAnswer::Next answer;
  std::function<void()> more;
  asio::any_io_executor executor;
  std::atomic<int> answers{0};  // alive
};

inline ServerOptions loopback(std::uint16_t port = 0) {
  ServerOptions options;
  options.address = "127.0.0.1";
  options.port = port;
  options.sync_interval_ns = 2'000'000;
  return options;
}

inline std::unique_ptr<Server> listen(asio::io_context& io, Backend& backend,
                                      const ServerOptions& options = loopback()) {
  auto server = Server::listen(io.get_executor(), options, identity("archive"), backend);
  if (!server) FAIL(server.error().text());
  return std::move(*server);
}

inline ProducerOptions dialling(std::uint16_t port) {
  ProducerOptions options;
  options.host = "127.0.0.1";
  options.port = port;
  options.archive = identity("archive").fingerprint;
  options.name = "s1";
  options.domain = "site-a";
  options.session = id_of(5);
  options.backoff_min_ns = 1'000'000;
  options.backoff_max_ns = 20'000'000;
  return options;
}

// Runs the loop until the condition holds; a test that hangs fails here.
inline bool run_until(asio::io_context& io, const std::function<bool()>& holds, int seconds = 20) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    io.restart();
    io.run_one_for(std::chrono::milliseconds(20));
  }
  return true;
}

inline bool close(asio::io_context& io, Server& server) {
  bool closed = false;
  asio::co_spawn(io, server.close(), [&](std::exception_ptr) { closed = true; });
  return run_until(io, [&] { return closed; });
}

inline std::optional<bool> close(asio::io_context& io, Producer& producer, std::uint64_t ns) {
  std::optional<bool> result;
  asio::co_spawn(io, producer.close(ns), [&](std::exception_ptr, bool all) { result = all; });
  run_until(io, [&] { return result.has_value(); });
  return result;
}

inline bool sums_hold(const ProducerCounters& counters) {
  return counters.offered == counters.acknowledged + counters.spooled_items;
}

// An archive with a thread of its own, for ends that block.
class ArchiveThread {
 public:
  explicit ArchiveThread(ServerOptions options = loopback()) {
    backend.executor = io_.get_executor();
    server_ = listen(io_, backend, options);
    thread_ = std::thread([this] { io_.run(); });
  }
  ~ArchiveThread() {
    close();
    work_.reset();
    io_.stop();
    thread_.join();
    server_.reset();
  }
  // In the server's thread.
  template <class F>
  auto call(F&& f) -> decltype(f()) {
    std::packaged_task<decltype(f())()> task(std::forward<F>(f));
    auto result = task.get_future();
    asio::post(io_, [&] { task(); });
    return result.get();
  }
  bool eventually(const std::function<bool()>& holds) {
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < deadline) {
      if (call(holds)) return true;
      std::this_thread::yield();
    }
    return false;
  }
  // A socket may close before the coroutine that saw it counts.
  bool counts(std::uint64_t ServerCounters::*counter, std::uint64_t value) {
    return eventually([&] { return server_->counters().*counter == value; });
  }
  ServerCounters counters() {
    return call([this] { return server_->counters(); });
  }
  void recheck() {
    call([this] { server_->recheck(); });
  }
  void close() {
    if (closed_) return;
    closed_ = true;
    std::promise<void> done;
    auto ended = [&](std::exception_ptr) { done.set_value(); };
    asio::co_spawn(io_, server_->close(), ended);
    done.get_future().wait();
  }
  std::uint16_t port() const { return server_->port(); }

  MemoryBackend backend;

 private:
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  std::unique_ptr<Server> server_;
  std::thread thread_;
  bool closed_ = false;
};

// A TLS client that says what it likes.
class RawClient {
 public:
  explicit RawClient(std::uint16_t port, const Identity* who = nullptr)
      : context_(*client_context(who)), stream_(io_, *context_) {
    asio::ip::tcp::endpoint archive(asio::ip::address_v4::loopback(), port);
    stream_.next_layer().connect(archive);
    stream_.next_layer().set_option(asio::ip::tcp::no_delay(true));
    stream_.handshake(asio::ssl::stream_base::client);
  }
  // The server may have hung up already.
  void send(ByteView bytes) {
    boost::system::error_code ignored;
    asio::write(stream_, asio::buffer(bytes.data(), bytes.size()), ignored);
  }
  // The next frame's type and payload; none at the end.
  std::optional<std::pair<int, std::string>> receive() {
    for (;;) {
      auto frame = reader_.next();
      REQUIRE(ok(frame));
      if (*frame) return std::pair<int, std::string>((*frame)->type, text((*frame)->payload));
      std::array<std::uint8_t, 4096> chunk;
      boost::system::error_code error;
      std::size_t n = stream_.read_some(asio::buffer(chunk), error);
      if (error) return std::nullopt;
      reader_.feed({chunk.data(), n});
    }
  }
  // The code of the ERROR frame that ends the connection; empty: it ended without.
  std::string error_code() {
    while (auto frame = receive()) {
      if (frame->first == FL_FRAME_ERROR) return nlohmann::json::parse(frame->second)["code"];
    }
    return "";
  }
  asio::ssl::stream<asio::ip::tcp::socket>& stream() { return stream_; }

 private:
  asio::io_context io_;
  std::shared_ptr<asio::ssl::context> context_;
  asio::ssl::stream<asio::ip::tcp::socket> stream_;
  FrameReader reader_;
};

}  // namespace fieldline::stream
