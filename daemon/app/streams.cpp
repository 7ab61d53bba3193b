// SPDX-License-Identifier: Apache-2.0
#include "app/streams.h"

#include <sodium.h>
#include <spdlog/spdlog.h>

namespace fieldline::app {

using nlohmann::json;

Streams::Streams(boost::asio::io_context& io, const RoleConfig& config, stream::Identity identity,
                 std::function<json()> configuration)
    : io_(io),
      name_(config.name),
      domain_(config.domain),
      spool_bytes_(config.spool_bytes),
      identity_(std::move(identity)),
      configuration_(std::move(configuration)) {
  pin(config.archives);
  randombytes_buf(session_.bytes.data(), session_.bytes.size());
}

void Streams::pin(const std::vector<ArchivePin>& archives) {
  own_ = archives.front().key;
  for (const ArchivePin& one : archives) pins_.insert_or_assign(one.key, one);
}

stream::Producer& Streams::to(const stream::Fingerprint& archive) {
  const ArchivePin& where = pins_.at(archive == stream::Fingerprint{} ? own_ : archive);
  auto& producer = producers_[where.key];
  if (producer) return *producer;

  stream::ProducerOptions options;
  options.host = where.host;
  options.port = where.port;
  options.archive = where.key;
  options.spool_bytes = spool_bytes_;
  options.name = name_;
  options.domain = domain_;
  options.session = session_;
  producer = stream::Producer::create(io_.get_executor(), options, identity_);
  stream::Producer* raw = producer.get();
  raw->on_state = [raw, host = where.host](stream::LinkState state) {
    if (state == stream::LinkState::connected) {
      spdlog::info("archive {}: connected", host);
    } else if (!raw->last_error().empty()) {
      spdlog::warn("archive {}: {}: {}", host, name_of(state), raw->last_error());
    }
  };
  std::string configuration = configuration_().dump();
  raw->offer(FL_FRAME_CONFIGURATION, FL_ENCODING_JSON, {}, 1, view(configuration));
  raw->start();
  return *raw;
}

void Streams::report(std::uint8_t type, const stream::Fingerprint& archive, const RunId& run,
                     json document) {
  document["session"] = session_.hex();
  std::string text = document.dump();
  if (to(archive).offer(type, FL_ENCODING_JSON, run, 1, view(text))) return;
  spdlog::error("run {}: its {} report did not fit into the spool; its evidence stays incomplete",
                run.brief(), document.value("event", "final"));
}

bool Streams::has_room(const stream::Fingerprint& archive) {
  return to(archive).counters().spooled_bytes < spool_bytes_ / 2;
}

boost::asio::awaitable<void> Streams::close(std::uint64_t timeout_ns) {
  for (auto& [key, producer] : producers_) {
    bool all = co_await producer->close(timeout_ns);
    if (!all) {
      spdlog::warn("archive {}: {} records were not acknowledged before the end",
                   stream::to_string(key), producer->counters().spooled_items);
    }
  }
}

}  // namespace fieldline::app
