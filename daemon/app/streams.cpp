// SPDX-License-Identifier: Apache-2.0
#include "app/streams.h"

#include <sodium.h>
#include <spdlog/spdlog.h>

#include <boost/asio/post.hpp>

#include "base/clock.h"

namespace fieldline::app {

using nlohmann::json;

Result<std::shared_ptr<stream::SpoolFolder>> open_spool(const RoleConfig& config) {
  std::shared_ptr<stream::SpoolFolder> none;
  if (config.spool_disk_bytes == 0) return none;
  auto folder = stream::SpoolFolder::open(config.spool_directory, config.spool_disk_bytes);
  if (!folder) {
    return Error(folder.error())
        .in("'" + config.name + "': spool_directory (spool_disk_mib = 0 does without it)");
  }
  for (const std::string& trouble : (*folder)->troubles) spdlog::warn("spool: {}", trouble);
  return folder;
}

Streams::Streams(boost::asio::io_context& io, const RoleConfig& config, stream::Identity identity,
                 std::shared_ptr<stream::SpoolFolder> spool, std::function<json()> configuration)
    : io_(io),
      name_(config.name),
      domain_(config.domain),
      spool_bytes_(config.spool_bytes),
      spool_(std::move(spool)),
      identity_(std::move(identity)),
      configuration_(std::move(configuration)),
      requesters_(io, [this](const ArchivePin& where, std::uint64_t numbered) {
        stream::ProducerOptions options = options_for(where);
        options.spool_folder = nullptr;  // nobody would send later what is left there
        options.spool_bytes = spool_bytes_ / Requesters::kDialled;
        options.numbered = numbered;
        return introduce(options);
      }) {
  pin(config.archives);
  for (const ArchivePin& one : config.archives) {
    if (one.also) mirrors_.push_back(one.key);
  }
  randombytes_buf(session_.bytes.data(), session_.bytes.size());
}

void Streams::pin(const std::vector<ArchivePin>& archives) {
  own_ = archives.front().key;
  for (const ArchivePin& one : archives) pins_.insert_or_assign(one.key, one);
}

void Streams::start() {
  own();
  if (!spool_) return;
  for (const stream::Leftover& leftover : spool_->leftovers) send_leftover(leftover);
  spool_->leftovers.clear();
}

stream::ProducerOptions Streams::options_for(const ArchivePin& where) const {
  stream::ProducerOptions options;
  options.host = where.host;
  options.port = where.port;
  options.archive = where.key;
  options.spool_bytes = spool_bytes_;
  options.spool_folder = spool_;
  options.name = name_;
  options.domain = domain_;
  options.session = session_;
  return options;
}

std::unique_ptr<stream::Producer> Streams::connect(const stream::ProducerOptions& options) {
  auto producer = stream::Producer::create(io_.get_executor(), options, identity_);
  producer->on_state = [raw = producer.get(), host = options.host](stream::LinkState state) {
    if (state == stream::LinkState::connected) {
      spdlog::info("archive {}: connected", host);
    } else if (!raw->last_error().empty()) {
      spdlog::warn("archive {}: {}: {}", host, name_of(state), raw->last_error());
    }
  };
  producer->on_spool_trouble = [host = options.host](const Error& error) {
    spdlog::error("archive {}: spool: {}; what has no room in memory is dropped and counted", host,
                  error.text());
  };
  return producer;
}

std::unique_ptr<stream::Producer> Streams::introduce(const stream::ProducerOptions& options) {
  auto producer = connect(options);
  std::string configuration = configuration_().dump();
  producer->offer(FL_FRAME_CONFIGURATION, FL_ENCODING_JSON, {}, 1, view(configuration));
  return producer;
}

stream::Producer& Streams::to(const stream::Fingerprint& archive) {
  if (stream::Producer* requester = requesters_.find(archive)) return *requester;
  const ArchivePin& where = pins_.at(key_of(archive));
  auto& producer = producers_[where.key];
  if (producer) return *producer;
  producer = introduce(options_for(where));
  producer->start();
  return *producer;
}

// One key under two numberings of a session would be taken for one stream.
Result<void> Streams::begin_at_requester(const RunId& run, const stream::Fingerprint& archive,
                                         const std::string& host) {
  if (pins_.contains(archive)) {
    return fail(Code::denied, "archive " + stream::to_string(archive) +
                                  " is one of the site's, which the rule does not list");
  }
  return requesters_.begin(run, archive, host);
}

bool Streams::record(const stream::Fingerprint& archive, std::uint8_t type, const RunId& run,
                     std::uint32_t count, ByteView body) {
  dial(archive);
  return to(archive).offer(type, FL_ENCODING_BINARY, run, count, body);
}

json Streams::others() const {
  json mirrors = json::array();
  for (const stream::Fingerprint& key : mirrors_) {
    auto producer = producers_.find(key);
    if (producer == producers_.end() || !producer->second) continue;
    const auto counters = producer->second->counters();
    mirrors.push_back({{"archive", stream::to_string(key)},
                       {"state", name_of(producer->second->state())},
                       {"offered", counters.offered},
                       {"acknowledged", counters.acknowledged},
                       {"dropped_spool", counters.dropped_spool}});
  }
  return {{"mirrors", mirrors}, {"requesters", requesters_.report()}};
}

// As a stream of its own beside the live one: neither waits for the other.
void Streams::send_leftover(const stream::Leftover& leftover) {
  auto where = pins_.find(leftover.archive);
  if (where == pins_.end()) {
    spdlog::warn(
        "{} holds {} bytes of session {} for archive {}, which is not pinned here: pin it, "
        "or remove the files",
        spool_->directory(), leftover.bytes(), leftover.session.brief(),
        stream::to_string(leftover.archive));
    return;
  }
  spdlog::warn("an earlier session, {}, left {} bytes in {}: they go to archive {}",
               leftover.session.brief(), leftover.bytes(), spool_->directory(), where->second.host);
  stream::ProducerOptions options = options_for(where->second);
  options.session = leftover.session;
  options.leftover = leftover;
  auto producer = connect(options);
  producer->on_delivered = [this, session = leftover.session, archive = leftover.archive] {
    boost::asio::post(io_, [this, session, archive] {
      if (leftovers_[session].erase(archive) == 0) return;
      spdlog::info("session {}: what it left is in the archive", session.brief());
      if (leftovers_[session].empty()) leftovers_.erase(session);
    });
  };
  producer->start();
  leftovers_[leftover.session][leftover.archive] = std::move(producer);
}

void Streams::report(std::uint8_t type, const stream::Fingerprint& archive, const RunId& run,
                     json document) {
  document["session"] = session_.hex();
  std::string text = document.dump();
  if (to(archive).offer(type, FL_ENCODING_JSON, run, 1, view(text))) return;
  spdlog::error("run {}: its {} report did not fit into the spool; its evidence stays incomplete",
                run.brief(), document.value("event", "final"));
}

// The streams go on while one of them is waited for. What an earlier process left stays on disk.
boost::asio::awaitable<void> Streams::close(std::uint64_t timeout_ns) {
  leftovers_.clear();
  SystemClock clock;
  const std::uint64_t until = clock.monotonic_ns() + timeout_ns;
  co_await requesters_.close(until);
  for (auto& [key, producer] : producers_) {
    const std::uint64_t now = clock.monotonic_ns();
    bool all = co_await producer->close(until > now ? until - now : 0);
    if (all) continue;
    const std::uint64_t items = producer->counters().spooled_items;
    if (producer->kept()) {
      spdlog::warn("archive {}: {} records wait in {} for the next start", stream::to_string(key),
                   items, spool_->directory());
    } else {
      spdlog::warn("archive {}: {} records were not acknowledged before the end",
                   stream::to_string(key), items);
    }
  }
}

}  // namespace fieldline::app
