// SPDX-License-Identifier: Apache-2.0
#include "lib/engine.h"

#include <algorithm>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include "proto/application.h"
#include "stream/identity.h"

namespace fieldline::lib {

namespace asio = boost::asio;

namespace {

constexpr std::uint64_t kRenew = kNanosPerSecond;
constexpr std::size_t kOwnBytes = 16 << 10;  // for the library's own events, which always fit

}  // namespace

// A certificate of the run's key: the key that signs pulses also signs TLS handshakes. Neither can
// be taken for the other: pulses are signed behind FL_PULSE_CONTEXT, handshakes behind 64 spaces.
Result<std::unique_ptr<Engine>> Engine::create(std::shared_ptr<Shared> shared, Speaker speaker,
                                               cli::RunGrant grant, cli::Sender sender,
                                               const cli::ArchiveAddress& archive,
                                               std::size_t buffer_bytes, const Pairs& socket) {
  std::array<std::uint8_t, 32> seed;  // libsodium's secret key is the seed and the public key
  std::copy_n(grant.key().secret.begin(), seed.size(), seed.begin());
  auto identity = stream::identity_of_seed(seed, speaker.host);
  if (!identity) return identity.error();
  stream::ProducerOptions options;
  options.host = archive.host;
  options.port = archive.port;
  options.archive = *archive.key;
  options.spool_bytes = buffer_bytes + kOwnBytes;
  options.name = speaker.host;
  options.session = stream::session_of_key(identity->fingerprint);
  options.proof = stream::RunProof{grant.grant_bytes(), grant.signature()};
  options.backoff_max_ns = 2 * kNanosPerSecond;
  std::unique_ptr<Engine> engine(
      new Engine(std::move(shared), std::move(speaker), std::move(grant), std::move(sender)));
  engine->buffer_bytes_ = buffer_bytes;
  engine->producer_ =
      stream::Producer::create(engine->io_.get_executor(), std::move(options), *identity);
  auto sent = engine->send(false);
  if (!sent) return sent.error();
  engine->start_ns_ = engine->clock_.monotonic_ns();
  if (engine->offer_own("on", socket)) engine->on_item_ = 1;
  return engine;
}

// What cannot be done for want of memory is not done; the rest goes on.
void Engine::run() {
  try {
    // To offer from within would wake nobody: the producer goes to wait behind it.
    producer_->on_delivered = [this] {
      delivered_.notify();
      tell_soon();
    };
    producer_->on_state = [this](stream::LinkState) { tell(); };
    producer_->start();
    wait_for_pulse();
  } catch (const std::exception&) {
  }
  while (!io_.stopped()) {
    try {
      io_.run();
    } catch (const std::exception&) {
    }
  }
}

template <class F>
void Engine::post(F&& f) {
  try {
    asio::post(io_, std::forward<F>(f));
  } catch (const std::bad_alloc&) {
  }
}

void Engine::collect_soon() {
  post([this] { collect(); });
}

void Engine::tell_soon() {
  post([this] {
    collect();
    tell();
  });
}

void Engine::finish(std::uint64_t timeout_ns) {
  post([this, timeout_ns] {
    auto ended = [this](std::exception_ptr) { io_.stop(); };
    asio::co_spawn(io_, end_run(timeout_ns), ended);
  });
}

// A wall clock that was set back would make pulses older than their grant.
Result<void> Engine::send(bool ending) {
  const std::uint64_t now = std::max(clock_.utc_ns(), grant_.grant().issued_at_ns);
  if (now >= grant_.grant().not_after_ns) return {};
  auto sent = sender_.send(ending ? grant_.ending(now) : grant_.pulse(now));
  if (sent) ++pulses_;
  return sent;
}

void Engine::wait_for_pulse() {
  const std::uint64_t passed = clock_.monotonic_ns() - start_ns_;
  pulse_.expires_after(std::chrono::nanoseconds(cli::next_pulse_ns(passed, kRenew) - passed));
  pulse_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    (void)send(false);  // the next may get through
    collect();          // what nobody could be woken for
    tell();
    wait_for_pulse();
  });
}

// What there is no room for stays in the outbox until all before it is acknowledged, so that its
// writer is told when that is full.
void Engine::collect() {
  for (;;) {
    const std::uint64_t spooled = producer_->counters().spooled_bytes;
    auto body = shared_->outbox.take(buffer_bytes_ - std::min(spooled, buffer_bytes_));
    if (!body) return;
    const bool taken =
        producer_->offer(FL_FRAME_APPLICATION_EVENT, FL_ENCODING_BINARY, grant_.run(), 1, *body);
    if (!taken) ++dropped_;  // no memory
  }
}

// The run's last event, once those before it are the producer's.
bool Engine::offer_end() {
  collect();
  const auto counts = shared_->outbox.counts();
  if (off_item_ != 0 || counts.held != 0) return off_item_ != 0;
  const bool offered = offer_own("off", {{"written", std::to_string(counts.written)},
                                         {"dropped", std::to_string(counts.dropped + dropped_)}});
  if (offered) off_item_ = producer_->counters().offered;
  return offered;
}

bool Engine::offer_own(std::string_view name, Pairs pairs) {
  auto body = speaker_.event(FL_APPLICATION_RESERVED + std::string(name), std::move(pairs));
  return body &&
         producer_->offer(FL_FRAME_APPLICATION_EVENT, FL_ENCODING_BINARY, grant_.run(), 1, *body);
}

void Engine::tell() {
  const auto counters = producer_->counters();
  std::uint64_t own = 0;
  for (std::uint64_t item : {on_item_, off_item_})
    own += item != 0 && counters.acknowledged >= item;
  std::lock_guard lock(shared_->mutex);
  shared_->acknowledged = counters.acknowledged - own;
  shared_->dropped = dropped_;
  shared_->pulses = pulses_;
  shared_->connected = producer_->state() == stream::LinkState::connected;
  ++shared_->told;
  shared_->changed.notify_all();
}

asio::awaitable<void> Engine::end_run(std::uint64_t timeout_ns) {
  const auto deadline = stream::after(timeout_ns);
  const auto again = std::min(deadline, stream::after(cli::kEndingGap));
  pulse_.cancel();
  (void)send(true);
  while (!stream::passed(again)) {
    offer_end();
    co_await delivered_.wait_until(again);
  }
  (void)send(true);
  while (!offer_end() && !stream::passed(deadline)) co_await delivered_.wait_until(deadline);
  const auto left = std::max(deadline - std::chrono::steady_clock::now(),
                             std::chrono::steady_clock::duration::zero());
  co_await producer_->close(static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(left).count()));
  tell();
}

}  // namespace fieldline::lib
