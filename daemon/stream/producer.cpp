// SPDX-License-Identifier: Apache-2.0
#include "stream/producer.h"

#include "stream/link.h"

namespace fieldline::stream {

namespace asio = boost::asio;

const char* name_of(LinkState state) {
  switch (state) {
    case LinkState::idle:
      return "idle";
    case LinkState::connecting:
      return "connecting";
    case LinkState::wrong_key:
      return "wrong_key";
    case LinkState::refused:
      return "refused";
    case LinkState::unreachable:
      return "unreachable";
    case LinkState::connected:
      return "connected";
  }
  return "unknown";
}

namespace {

class LinkedProducer final : public Producer {
 public:
  LinkedProducer(asio::any_io_executor executor, ProducerOptions options, const Identity& identity)
      : link_(std::make_shared<Link>(std::move(executor), std::move(options), identity)) {
    link_->on_state = [this](LinkState state) {
      if (on_state) on_state(state);
    };
    link_->on_delivered = [this] {
      if (on_delivered) on_delivered();
    };
    link_->on_spool_trouble = [this](const Error& error) {
      if (on_spool_trouble) on_spool_trouble(error);
    };
  }
  ~LinkedProducer() override {
    link_->on_state = nullptr;
    link_->on_delivered = nullptr;
    link_->on_spool_trouble = nullptr;
    link_->stop();
  }

  void start() override { link_->start(); }
  bool offer(std::uint8_t type, std::uint8_t encoding, const RunId& run, std::uint32_t count,
             ByteView body) override {
    bool taken = link_->spool.offer(type, encoding, run, count, body);
    if (taken) link_->offered();
    return taken;
  }
  bool has_room() const override { return link_->spool.has_room(); }
  void send_status(std::string json) override { link_->send_status(std::move(json)); }
  asio::awaitable<bool> close(std::uint64_t timeout_ns) override {
    return link_->drain(timeout_ns);
  }
  void share_link(std::shared_ptr<LinkShare> share, bool is_rest) override {
    link_->share_with(std::move(share), is_rest);
  }
  bool lags() const override { return link_->spool.lags(); }
  bool kept() const override { return link_->kept; }
  LinkState state() const override { return link_->state; }
  std::string last_error() const override { return link_->last_error; }
  ProducerCounters counters() const override {
    const Spool& spool = link_->spool;
    ProducerCounters counters;
    counters.offered = spool.offered();
    counters.acknowledged = spool.acknowledged();
    counters.dropped_spool = spool.dropped();
    counters.spooled_bytes = spool.bytes();
    counters.spooled_items = spool.items();
    if (const SpoolDisk* disk = spool.disk()) {
      counters.spool_disk_bytes = disk->bytes();
      counters.spool_disk_written = disk->written();
      counters.spool_disk_lost = disk->lost();
      counters.spool_disk_errors = disk->errors();
    }
    counters.resent = spool.resent();
    counters.connects = link_->connects;
    counters.failures = link_->failures;
    return counters;
  }

 private:
  std::shared_ptr<Link> link_;
};

}  // namespace

std::unique_ptr<Producer> Producer::create(asio::any_io_executor executor, ProducerOptions options,
                                           const Identity& identity) {
  return std::make_unique<LinkedProducer>(std::move(executor), std::move(options), identity);
}

}  // namespace fieldline::stream
