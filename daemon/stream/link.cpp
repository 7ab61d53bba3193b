// SPDX-License-Identifier: Apache-2.0
#include "stream/link.h"

#include <algorithm>

#include <boost/asio/experimental/awaitable_operators.hpp>

#include "stream/document.h"

namespace fieldline::stream {

namespace asio = boost::asio;
using namespace boost::asio::experimental::awaitable_operators;

namespace {

constexpr std::size_t kBatch = 64 << 10;
constexpr std::uint64_t kStopTimeout = 2'000'000'000;

}  // namespace

std::unique_ptr<SpoolDisk> Link::disk_of(const ProducerOptions& options) {
  if (!options.spool_folder) return nullptr;
  if (options.leftover) return std::make_unique<SpoolDisk>(options.spool_folder, *options.leftover);
  return std::make_unique<SpoolDisk>(options.spool_folder, options.session, options.archive);
}

void Link::share_with(std::shared_ptr<LinkShare> share, bool is_rest) {
  leave_share();
  share_ = std::move(share);
  is_rest_ = is_rest;
  if (is_rest_) share_->add_rest(this, [this] { wake_.notify(); });
}

// What was taken for the wire; 0: nothing is left to take, or nobody takes it.
void Link::tell_share(std::size_t sent) {
  if (!share_) return;
  if (is_rest_) return share_->rest_sent(sent);
  share_->live_wants(sent > 0);
  share_->live_sent(sent);
}

void Link::leave_share() {
  if (!share_) return;
  if (is_rest_) {
    share_->remove_rest(this);
  } else {
    share_->live_wants(false);
  }
  share_.reset();
  is_rest_ = false;
}

void Link::enter(LinkState next) {
  if (state == next) return;
  state = next;
  if (on_state) on_state(next);
}

void Link::failed(LinkState next, const Error& error) {
  if (stopping_) return;
  ++failures;
  last_error =
      "archive " + options.host + " port " + std::to_string(options.port) + ": " + error.text();
  enter(next);
}

// The first cause counts; what the closing makes fail afterwards does not.
void Link::end_connection(LinkState next, const Error& error) {
  if (over_) return;
  over_ = true;
  connection_->close();
  wake_.notify();
  overdue_.notify();
  failed(next, error);
}

asio::awaitable<void> Link::run(std::shared_ptr<Link> self) {
  while (!self->stopping_) {
    if (self->state == LinkState::idle || self->state == LinkState::connected) {
      self->enter(LinkState::connecting);
    }
    try {
      co_await self->connect_and_serve();
    } catch (const std::exception& e) {  // memory, or a callback of the owner's
      self->failed(LinkState::unreachable, fail(Code::io, e.what()));
    }
    if (self->connection_) self->connection_->close();
    self->connection_.reset();
    self->tell_share(0);
    if (!self->stopping_) co_await self->back_off();
  }
}

asio::awaitable<void> Link::connect_and_serve() {
  if (!context_) {
    failed(LinkState::unreachable, context_.error());
    co_return;
  }
  connection_ = std::make_shared<Connection>(executor_, *context_);
  auto dialled = co_await connection_->dial(options.host, options.port, options.archive,
                                            options.dial_timeout_ns);
  if (!dialled) {
    bool wrong_key = dialled.error().code == Code::denied;
    failed(wrong_key ? LinkState::wrong_key : LinkState::unreachable, dialled.error());
    co_return;
  }
  connection_->keep_alive(options.ack_timeout_ns);
  connection_->limit(options.dial_timeout_ns);
  auto greeted = co_await greet();
  if (!greeted) {
    bool gone = greeted.error().code == Code::closed || greeted.error().code == Code::timeout ||
                greeted.error().code == Code::io;
    failed(gone ? LinkState::unreachable : LinkState::refused, greeted.error());
    co_return;
  }
  connection_->unlimit();
  connection_->allow_long_frames();
  over_ = advanced_ = waiting_ = false;
  progress_ = std::chrono::steady_clock::now();
  ++connects;
  last_error.clear();
  enter(LinkState::connected);
  co_await (read() && write() && watch());
  if (advanced_) attempts_ = 0;
}

// The limit that is set covers it.
asio::awaitable<Result<void>> Link::greet() {
  Bytes hello = producer_hello(options.session, options.name, options.domain, options.proof);
  auto written = co_await connection_->write(hello);
  if (!written) co_return written;
  for (;;) {
    auto frame = co_await connection_->read_frame();
    if (!frame) co_return frame.error();
    if (frame->type == FL_FRAME_ERROR) {
      // Whatever the code, it is the archive that says no.
      co_return fail(Code::denied, "refused: " + parse_error(frame->payload).text());
    }
    if (frame->type != FL_FRAME_HELLO) continue;
    auto answer = parse_hello(frame->payload);
    if (!answer) co_return answer.error();
    if (answer->role != Role::archive) {
      co_return fail(Code::invalid, "the other end is not an archive; check host and port");
    }
    if (answer->newest != FL_STREAM_VERSION) {
      co_return fail(
          Code::unsupported,
          "it chose stream version " + std::to_string(answer->newest) + ", which was not offered");
    }
    co_return spool.resume(answer->resume);
  }
}

asio::awaitable<void> Link::read() {
  while (!over()) {
    auto frame = co_await connection_->read_frame();
    if (!frame) {
      end_connection(LinkState::unreachable, frame.error());
      break;
    }
    auto handled = handle(*frame);
    if (!handled) end_connection(LinkState::refused, handled.error());
  }
  over_ = true;
  wake_.notify();
  overdue_.notify();
}

Result<void> Link::handle(const Frame& frame) {
  if (frame.type == FL_FRAME_ERROR) {
    Error said = parse_error(frame.payload);
    return fail(said.code, "it ended the stream: " + said.text());
  }
  if (frame.type != FL_FRAME_ACK) return {};  // of a later version
  ByteReader reader(frame.payload);
  auto ack = reader.take_struct<fl_ack>();
  if (!ack) return Error(ack.error()).in("acknowledgement");
  std::uint64_t before = spool.acknowledged();
  auto taken = spool.acknowledge(big_endian(std::uint64_t{ack->sequence}));
  if (!taken) return taken;
  if (spool.acknowledged() > before) {
    advanced_ = true;
    progress_ = std::chrono::steady_clock::now();
    waiting_ = spool.awaits_ack();
    wake_.notify();  // what is on disk may have waited for the room
  }
  if (spool.items() == 0) delivered();
  return {};
}

void Link::delivered() {
  drained_.notify();
  if (on_delivered) on_delivered();
}

// A batch is copied so that an acknowledgement may free its frames while it is still being written.
asio::awaitable<void> Link::write() {
  Bytes batch;
  while (!over()) {
    batch.clear();
    if (status_) {
      batch = encode_frame(FL_FRAME_STATUS, FL_ENCODING_JSON, view(*status_));
      status_.reset();
    }
    if (!may_send()) {
      co_await wake_.wait();
      continue;
    }
    auto taken = spool.take(batch, kBatch);
    if (!taken) {
      end_connection(LinkState::unreachable, std::move(taken.error()).in("reading the spool"));
      break;
    }
    tell_share(batch.size());
    if (batch.empty()) {
      if (spool.items() == 0) delivered();
      co_await wake_.wait();
      continue;
    }
    if (!waiting_ && spool.awaits_ack()) {
      waiting_ = true;
      progress_ = std::chrono::steady_clock::now();
      overdue_.notify();
    }
    auto written = co_await connection_->write(batch);
    if (!written) end_connection(LinkState::unreachable, written.error());
  }
}

asio::awaitable<void> Link::watch() {
  while (!over()) {
    waiting_ = spool.awaits_ack();
    if (!waiting_) {
      co_await overdue_.wait();
      continue;
    }
    TimePoint deadline = progress_ + std::chrono::nanoseconds(options.ack_timeout_ns);
    if (passed(deadline)) {
      Error error = fail(Code::timeout, "it acknowledges nothing; is its disk full or stuck?");
      end_connection(LinkState::unreachable, error);
      break;
    }
    co_await overdue_.wait_until(deadline);
  }
}

// Full jitter: anything from min to min, 2 min, 4 min .. max, so that an archive that comes back is
// not met by all of its sensors at once, however long they have waited together.
std::uint64_t Link::next_delay() {
  const std::uint64_t ceiling =
      std::min(options.backoff_max_ns, options.backoff_min_ns << std::min(attempts_, 20U));
  ++attempts_;
  std::uniform_int_distribution<std::uint64_t> jitter(options.backoff_min_ns,
                                                      std::max(options.backoff_min_ns, ceiling));
  return jitter(random_);
}

asio::awaitable<void> Link::back_off() {
  TimePoint until = after(next_delay());
  while (!stopping_ && !passed(until)) co_await backoff_.wait_until(until);
}

asio::awaitable<bool> Link::drain(std::uint64_t timeout_ns) {
  auto self = shared_from_this();
  TimePoint deadline = after(timeout_ns);
  while (started_ && !stopping_ && spool.items() != 0 && !passed(deadline)) {
    co_await drained_.wait_until(deadline);
  }
  stop();
  // A name look-up under way may take longer; it finds its end alone.
  co_await tasks_.wait(kStopTimeout);
  enter(LinkState::idle);
  const bool all = spool.items() == 0;
  if (!all) kept = spool.keep();
  co_return all;
}

}  // namespace fieldline::stream
