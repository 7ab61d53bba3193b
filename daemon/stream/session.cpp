// SPDX-License-Identifier: Apache-2.0
#include "stream/session.h"

#include <algorithm>

#include <boost/asio/experimental/awaitable_operators.hpp>

#include "stream/document.h"

namespace fieldline::stream {

namespace asio = boost::asio;
using namespace boost::asio::experimental::awaitable_operators;

namespace {

// For the last frames of a connection to be taken by the other end.
constexpr std::uint64_t kFarewell = 1'000'000'000;

bool is_known(std::uint8_t type) {
  return type >= FL_FRAME_HELLO && type <= FL_FRAME_APPLICATION_EVENT;
}

// The next frame of one of the types of this version, the others skipped and counted.
asio::awaitable<Result<Frame>> next_known(Hub& hub, Connection& connection) {
  for (;;) {
    auto frame = co_await connection.read_frame();
    if (!frame || is_known(frame->type)) co_return frame;
    ++hub.counters.unknown_frames;
  }
}

// Before there is a session: says why not, and ends.
asio::awaitable<void> turn_away(std::shared_ptr<Connection> connection, Error why) {
  connection->limit(kFarewell);
  Bytes frame = error_frame(why);
  auto written = co_await connection->write(frame);
  if (!written) co_return;
  connection->shutdown_send();
  co_await connection->discard();
}

// The reason why the wait for a stranger's frame ended, counted; what to tell it, if it is still
// there.
std::optional<Error> count_silence(Hub& hub, const Error& error) {
  if (error.code == Code::timeout) ++hub.counters.hello_timeouts;
  if (error.code != Code::invalid) return std::nullopt;
  ++hub.counters.bad_frames;
  return error;
}

Result<Hello> judge_hello(Hub& hub, const Frame& frame) {
  auto hello = frame.type == FL_FRAME_HELLO
                   ? parse_hello(frame.payload)
                   : Result<Hello>(fail(Code::invalid, "the first frame is not a hello"));
  if (hello && hello->role == Role::archive) {
    hello = fail(Code::invalid, "two archives have nothing to say to each other");
  }
  if (!hello) {
    ++(hello.error().code == Code::unsupported ? hub.counters.refused_versions
                                               : hub.counters.bad_frames);
    return hello;
  }
  if (hello->oldest > FL_STREAM_VERSION || hello->newest < FL_STREAM_VERSION) {
    ++hub.counters.refused_versions;
    return fail(Code::unsupported, "this archive speaks stream version " +
                                       std::to_string(FL_STREAM_VERSION) + ", the other end " +
                                       std::to_string(hello->oldest) + " to " +
                                       std::to_string(hello->newest) + "; update the older one");
  }
  return hello;
}

Result<std::uint64_t> open_session(Hub& hub, const ProducerHello& hello) {
  if (hello.key == Fingerprint{}) {
    return fail(Code::denied, "a producer needs a certificate; it showed none");
  }
  auto present = hub.producers.find(hello.session);
  if (present != hub.producers.end() && present->second->key() != hello.key) {
    return fail(Code::denied, "this session is open under another key");
  }
  auto admitted = hub.backend.admit(hello);
  if (!admitted) return admitted.error();
  return hub.backend.open_session(hello);
}

Result<nlohmann::json> judge_auth(const Frame& frame) {
  if (frame.type != FL_FRAME_AUTH) return fail(Code::invalid, "a reader's second frame is AUTH");
  auto auth = parse_document(frame.payload);
  if (!auth) return auth;
  auto signature = auth->find("signature");
  if (signature != auth->end() && signature->is_string()) return auth;
  return fail(Code::invalid, "auth: \"signature\" is not a string; update the client");
}

asio::awaitable<void> serve_producer(std::shared_ptr<Hub> hub,
                                     std::shared_ptr<Connection> connection,
                                     Registration& registration, Hello hello) {
  ProducerHello producer{connection->peer(), hello.session, hello.name, hello.domain,
                         std::move(hello.proof)};
  auto resume = open_session(*hub, producer);
  if (!resume) {
    ++(resume.error().code == Code::denied ? hub->counters.refused_keys
                                           : hub->counters.store_errors);
    co_await turn_away(connection, resume.error());
    co_return;
  }
  registration.introduced();
  connection->allow_long_frames();
  auto session = std::make_shared<ProducerSession>(hub, connection, producer);
  Bytes answer = archive_hello(*resume, hub->options.name);
  co_await session->run(std::move(answer));
}

asio::awaitable<void> serve_reader(std::shared_ptr<Hub> hub, std::shared_ptr<Connection> connection,
                                   Registration& registration) {
  connection->limit(hub->options.auth_timeout_ns);
  Bytes answer = archive_hello(0, hub->options.name);
  auto written = co_await connection->write(answer);
  if (!written) co_return;
  auto frame = co_await next_known(*hub, *connection);
  if (!frame) {
    auto why = count_silence(*hub, frame.error());
    if (why) co_await turn_away(connection, *why);
    co_return;
  }
  auto auth = judge_auth(*frame);
  if (!auth) {
    ++hub->counters.bad_frames;
    co_await turn_away(connection, auth.error());
    co_return;
  }
  if (hub->stopped) co_return;
  auto exporter = query_exporter(connection->native());
  auto principal = exporter ? hub->backend.authenticate(*exporter, *auth)
                            : Result<std::string>(exporter.error());
  if (!principal) {
    ++hub->counters.refused_readers;
    co_await turn_away(connection, principal.error());
    co_return;
  }
  registration.introduced();
  ReaderProof proof{*exporter, std::move(*auth), *principal};
  auto session = std::make_shared<ReaderSession>(hub, connection, std::move(proof));
  Bytes welcome = json_frame(FL_FRAME_END, {{"principal", *principal}});
  co_await session->run(std::move(welcome));
}

}  // namespace

asio::awaitable<void> converse(std::shared_ptr<Hub> hub, std::shared_ptr<Connection> connection) {
  if (hub->stopped) co_return;
  Registration registration(*hub, *connection);
  connection->keep_alive(0);
  connection->limit(hub->options.handshake_timeout_ns);
  auto secured = co_await connection->accept_handshake();
  if (!secured) {
    if (!hub->stopped) ++hub->counters.tls_failures;
    co_return;
  }
  connection->limit(hub->options.handshake_timeout_ns);
  auto frame = co_await next_known(*hub, *connection);
  std::optional<Error> why;
  if (!frame) {
    why = count_silence(*hub, frame.error());
  } else if (auto hello = judge_hello(*hub, *frame); !hello) {
    why = hello.error();
  } else if (!hub->stopped && hello->role == Role::producer) {
    co_await serve_producer(hub, connection, registration, *hello);
  } else if (!hub->stopped) {
    co_await serve_reader(hub, connection, registration);
  }
  if (why) co_await turn_away(connection, *why);
}

void Hub::sync() {
  dirty = false;
  auto safe = [this](const RunId& session, std::uint64_t sequence) {
    auto producer = producers.find(session);
    if (producer != producers.end()) producer->second->acknowledge(sequence);
  };
  auto synced = backend.sync(safe);
  if (synced) return;
  ++counters.sync_errors;
  for (auto& [id, producer] : producers) producer->finish(synced.error());
}

void Hub::recheck() {
  for (Session* session : sessions) {
    auto stands = session->recheck();
    if (!stands) session->finish(stands.error());
  }
}

// The longest there, not the newest: what is going to say who it is does so within a round trip or
// two, and a flood of silent connections must not keep it out.
// Those that were closed and have not run to their end hold no socket any more; that they stay few
// as well is what the last condition sees to.
bool Hub::has_room_for_stranger() {
  const std::size_t all = options.max_connections, quarter = std::max<std::size_t>(1, all / 4);
  bool is_full = strangers.size() + sessions.size() >= all;
  if ((is_full && !strangers.empty()) || strangers.size() >= quarter) {
    ++counters.over_limit;
    strangers.front()->close();
    strangers.pop_front();
    is_full = false;
  }
  return !is_full && tasks.running() < all + quarter;
}

// Sessions are finished before the sync, so that nothing is stored behind it.
void Hub::finish() {
  std::set<Connection*> others = connections;
  for (Session* session : sessions) {
    others.erase(&session->connection());
    session->shut_down();
  }
  for (Connection* other : others) other->close();
  if (!stopped) sync();
}

void Hub::abandon() {
  stopped = true;
  for (Session* session : sessions) session->abandon();
  for (Connection* connection : connections) connection->close();
}

Session::Session(std::shared_ptr<Hub> hub, std::shared_ptr<Connection> connection)
    : hub_(std::move(hub)), connection_(std::move(connection)), wake_(hub_->executor) {
  hub_->sessions.insert(this);
}

Session::~Session() {
  hub_->sessions.erase(this);
}

asio::awaitable<void> Session::run(Bytes greeting) {
  auto written = co_await connection_->write(greeting);
  if (!written) co_return;
  if (!over()) connection_->unlimit();  // else it is finish()'s limit
  co_await (read() && write());
}

void Session::finish(std::optional<Error> why) {
  if (finished_) return;
  finished_ = true;
  why_ = std::move(why);
  connection_->limit(kFarewell);
  wake_.notify();
}

void Session::bad_frame(const Error& error) {
  ++hub_->counters.bad_frames;
  finish(error);
}

asio::awaitable<void> Session::read() {
  for (;;) {
    auto frame = co_await connection_->read_frame();
    if (!frame) {
      bool is_garbled = frame.error().code == Code::invalid;
      if (is_garbled && !over()) bad_frame(frame.error());
      if (is_garbled) co_await connection_->discard();
      break;
    }
    if (over()) continue;  // until the other end has taken our last frames and closes
    if (is_known(frame->type)) {
      handle(*frame);
    } else {
      ++hub_->counters.unknown_frames;
    }
  }
  finish();
  connection_->close();
}

asio::awaitable<void> Session::write() {
  while (connection_->is_open()) {
    bool wrote = co_await write_due();
    if (wrote) continue;
    if (over()) break;
    co_await wake_.wait();
  }
  if (why_ && connection_->is_open()) {
    Bytes frame = error_frame(*why_);
    auto written = co_await connection_->write(frame);
    if (!written) connection_->close();
  }
  connection_->shutdown_send();
}

}  // namespace fieldline::stream
