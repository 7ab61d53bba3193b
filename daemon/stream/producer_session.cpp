// SPDX-License-Identifier: Apache-2.0
#include "stream/document.h"
#include "stream/session.h"

namespace fieldline::stream {

ProducerSession::ProducerSession(std::shared_ptr<Hub> hub, std::shared_ptr<Connection> connection,
                                 ProducerHello hello)
    : Session(std::move(hub), std::move(connection)), hello_(std::move(hello)) {
  ProducerSession*& present = hub_->producers[hello_.session];
  if (present != nullptr) {
    present->finish();
    present->connection_->close();
  }
  present = this;
}

ProducerSession::~ProducerSession() {
  auto present = hub_->producers.find(hello_.session);
  if (present == hub_->producers.end() || present->second != this) return;  // replaced
  hub_->producers.erase(present);
  if (hub_->stopped) return;
  try {
    hub_->backend.close_session(hello_.session);
  } catch (const std::exception&) {
    ++hub_->counters.faults;
  }
}

void ProducerSession::acknowledge(std::uint64_t sequence) {
  ack_ = sequence;
  wake_.notify();
}

void ProducerSession::handle(const Frame& frame) {
  if (FL_FRAME_IS_DURABLE(frame.type)) {
    store(frame);
  } else if (frame.type == FL_FRAME_STATUS) {
    auto status = parse_document(frame.payload);
    if (!status) return bad_frame(Error(status.error()).in("status"));
    hub_->backend.status(hello_.session, *status);
  } else {
    bad_frame(fail(Code::invalid,
                   "frame type " + std::to_string(frame.type) + " is not a producer's to send"));
  }
}

void ProducerSession::store(const Frame& frame) {
  auto item = check_item(frame);
  if (!item) return bad_frame(item.error());
  auto stored = hub_->backend.store(hello_.session, frame, *item);
  if (!stored) {
    ++hub_->counters.store_errors;
    return finish(stored.error());
  }
  hub_->mark_dirty();
}

boost::asio::awaitable<bool> ProducerSession::write_due() {
  if (!ack_) co_return false;
  fl_ack ack{big_endian(*ack_)};
  ack_.reset();
  Bytes frame = encode_frame(FL_FRAME_ACK, FL_ENCODING_BINARY, view_of(ack));
  auto written = co_await connection_->write(frame);
  if (!written) connection_->close();
  co_return true;
}

}  // namespace fieldline::stream
