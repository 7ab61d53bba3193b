// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "stream/document.h"
#include "stream/session.h"

namespace fieldline::stream {

namespace asio = boost::asio;

namespace {

// Requests that wait for the one under way. The socket is read on, or a reader that left would not
// be noticed.
constexpr std::size_t kMaxWaiting = 16;

}  // namespace

ReaderSession::ReaderSession(std::shared_ptr<Hub> hub, std::shared_ptr<Connection> connection,
                             ReaderProof proof)
    : Session(std::move(hub), std::move(connection)), proof_(std::move(proof)) {}

Result<void> ReaderSession::recheck() {
  auto principal = hub_->backend.authenticate(proof_.exporter, proof_.auth);
  if (!principal) return principal.error();
  if (*principal == proof_.principal) return {};
  return fail(Code::denied, "your key stands for " + *principal + " now, not for " +
                                proof_.principal + "; connect again");
}

void ReaderSession::handle(const Frame& frame) {
  if (frame.type != FL_FRAME_REQUEST) {
    return bad_frame(fail(
        Code::invalid, "frame type " + std::to_string(frame.type) + " is not a reader's to send"));
  }
  auto request = parse_document(frame.payload);
  if (!request) return bad_frame(Error(request.error()).in("request"));
  if (requests_.size() >= kMaxWaiting) {
    return finish(fail(Code::exhausted, "more than " + std::to_string(kMaxWaiting) +
                                            " requests wait; send them one after another"));
  }
  requests_.push_back(std::move(*request));
  wake_.notify();
}

asio::awaitable<bool> ReaderSession::write_due() {
  if (over() || requests_.empty()) co_return false;
  nlohmann::json request = std::move(requests_.front());
  requests_.pop_front();
  auto answer = ask(request);
  if (answer) {
    answer_ = std::move(*answer);
    co_await serve();
    answer_.reset();
  } else {
    co_await give_up(answer.error());
  }
  co_return true;
}

asio::awaitable<bool> ReaderSession::send(ByteView bytes) {
  auto written = co_await connection_->write(bytes);
  if (!written) connection_->close();
  co_return written.has_value() && !over();
}

asio::awaitable<bool> ReaderSession::send_piece(ByteView piece) {
  do {
    ByteView part = piece.first(std::min<std::size_t>(piece.size(), FL_FRAME_MAX));
    piece = piece.subspan(part.size());
    Bytes frame = encode_frame(FL_FRAME_DATA, FL_ENCODING_BINARY, part);
    bool sent = co_await send(frame);
    if (!sent) co_return false;
  } while (!piece.empty());
  co_return true;
}

Result<std::unique_ptr<Answer>> ReaderSession::ask(const nlohmann::json& request) {
  std::function<void()> on_more = [weak = weak_from_this()] {
    if (auto self = weak.lock()) {
      self->more_ = true;
      self->wake_.notify();
    }
  };
  return hub_->backend.request(proof_.principal, request, std::move(on_more));
}

asio::awaitable<void> ReaderSession::give_up(Error error) {
  Bytes frame = error_frame(error);
  co_await send(frame);
}

// The next piece is asked for once the socket has taken the last one. After each wait the session
// may be over, and the answer gone.
asio::awaitable<void> ReaderSession::serve() {
  for (bool first = true; !over(); first = false) {
    more_ = false;
    auto piece = answer_->next();
    if (!piece) {
      co_await give_up(piece.error());
      co_return;
    }
    if (!*piece) {
      Bytes end = json_frame(FL_FRAME_END, answer_->result());
      co_await send(end);
      co_return;
    }
    bool is_empty = (*piece)->empty();
    if (first || !is_empty) {
      bool sent = co_await send_piece(**piece);
      if (!sent) co_return;
    }
    while (is_empty && !more_ && !over()) co_await wake_.wait();
  }
}

void ReaderSession::shut_down() {
  finish(fail(Code::closed, "the archive is shutting down; ask again when it is back"));
}

}  // namespace fieldline::stream
