// SPDX-License-Identifier: Apache-2.0
#include "app/streams.h"

#include <sodium.h>
#include <spdlog/spdlog.h>

#include <algorithm>
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
  session_ = new_session();
}

void Streams::pin(const std::vector<ArchivePin>& archives) {
  own_ = archives.front().key;
  for (const ArchivePin& one : archives) pins_.insert_or_assign(one.key, one);
  send_leftovers();
}

void Streams::start() {
  started_ = true;
  own();
  send_leftovers();
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
  producer->on_state = [this, raw = producer.get(), host = options.host,
                        key = options.archive](stream::LinkState state) {
    auto live = producers_.find(key);
    if (live != producers_.end() && live->second.get() == raw)
      outages_[key].note(state, SystemClock().utc_ns());
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

// One that a reload pinned goes on behind what it had of this session as a requester's.
stream::Producer& Streams::to(const stream::Fingerprint& archive) {
  if (stream::Producer* requester = requesters_.find(archive)) return *requester;
  const ArchivePin& where = pins_.at(key_of(archive));
  auto& producer = producers_[where.key];
  if (producer) return *producer;
  stream::ProducerOptions options = options_for(where);
  options.numbered = requesters_.numbered(where.key);
  producer = introduce(options);
  producer->share_link(link_to(where.key), false);
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

json Streams::outages(const stream::Fingerprint& archive, std::uint64_t since_ns) const {
  auto of_archive = outages_.find(archive);
  return of_archive == outages_.end() ? json::array() : of_archive->second.since(since_ns);
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
  json rests = json::array();
  for (const auto& [session, producers] : rests_) {
    for (const auto& [key, producer] : producers) {
      const auto counters = producer->counters();
      rests.push_back({{"session", session.hex()},
                       {"archive", stream::to_string(key)},
                       {"state", name_of(producer->state())},
                       {"items", counters.spooled_items},
                       {"acknowledged", counters.acknowledged}});
    }
  }
  return {{"mirrors", mirrors}, {"requesters", requesters_.report()}, {"rests", rests}};
}

// Those for an archive that is not pinned here wait for a pin, in this life or the next.
void Streams::send_leftovers() {
  if (!spool_ || !started_) return;
  for (const stream::Leftover& leftover : std::exchange(spool_->leftovers, {})) {
    auto where = pins_.find(leftover.archive);
    if (where != pins_.end()) {
      send_leftover(leftover, where->second);
      continue;
    }
    spdlog::warn(
        "{} holds {} bytes of session {} for archive {}, which is not pinned here: pin it and "
        "reload, or remove the files",
        spool_->directory(), leftover.bytes(), leftover.session.brief(),
        stream::to_string(leftover.archive));
    spool_->leftovers.push_back(leftover);
  }
}

// As a stream of its own beside the live one: neither waits for the other.
void Streams::send_leftover(const stream::Leftover& leftover, const ArchivePin& where) {
  spdlog::warn("an earlier session, {}, left {} bytes in {}: they go to archive {}",
               leftover.session.brief(), leftover.bytes(), spool_->directory(), where.host);
  stream::ProducerOptions options = options_for(where);
  options.session = leftover.session;
  options.leftover = leftover;
  auto producer = connect(options);
  producer->start();
  send_rest(leftover.session, leftover.archive, std::move(producer));
}

void Streams::send_rest(const RunId& session, const stream::Fingerprint& archive,
                        std::unique_ptr<stream::Producer> producer) {
  producer->share_link(link_to(archive), true);
  producer->on_delivered = [this, session, archive] {
    boost::asio::post(io_, [this, session, archive] {
      auto of_session = rests_.find(session);
      if (of_session == rests_.end() || of_session->second.erase(archive) == 0) return;
      spdlog::info("session {}: its rest is in the archive", session.brief());
      if (!of_session->second.empty()) return;
      rests_.erase(of_session);
      closed_.erase(session);
    });
  };
  rests_[session][archive] = std::move(producer);
}

std::shared_ptr<stream::LinkShare> Streams::link_to(const stream::Fingerprint& archive) {
  auto& link = links_[archive];
  if (!link) link = std::make_shared<stream::LinkShare>();
  return link;
}

// -- another session

bool Streams::has_rest(const stream::Fingerprint& archive) const {
  return std::any_of(closed_.begin(), closed_.end(), [&](const RunId& session) {
    auto rests = rests_.find(session);
    return rests != rests_.end() && rests->second.contains(archive);
  });
}

// Two looks: a connection stands for seconds after the link under it was cut.
bool Streams::lags() {
  bool any = false, must_wait = requesters_.in_use();
  for (const auto& [key, producer] : producers_) {
    const auto counters = producer->counters();
    must_wait |= counters.spooled_items > 0 && has_rest(key);
    auto before = lagged_.find(key);
    if (producer->state() != stream::LinkState::connected || !producer->lags()) {
      if (before != lagged_.end()) lagged_.erase(before);
    } else if (before == lagged_.end()) {
      lagged_[key] = counters.acknowledged;
    } else {
      any |= counters.acknowledged > before->second;
      before->second = counters.acknowledged;
    }
  }
  return any && !must_wait;
}

RunId Streams::new_session() {
  RunId session;
  randombytes_buf(session.bytes.data(), session.bytes.size());
  return session;
}

void Streams::begin_session(const RunId& next) {
  const RunId before = std::exchange(session_, next);
  requesters_.begin_session();
  lagged_.clear();
  for (auto& [key, producer] : std::exchange(producers_, {})) {
    if (producer->counters().spooled_items == 0) continue;
    closed_.insert(before);
    send_rest(before, key, std::move(producer));
  }
  own();
}

void Streams::report(std::uint8_t type, const stream::Fingerprint& archive, const RunId& run,
                     json document) {
  document["session"] = session_.hex();
  std::string text = document.dump();
  if (to(archive).offer(type, FL_ENCODING_JSON, run, 1, view(text))) return;
  spdlog::error("run {}: its {} report did not fit into the spool; its evidence stays incomplete",
                run.brief(), document.value("event", "final"));
}

// The streams go on while one of them is waited for. What an earlier process left stays on disk,
// and is not waited for.
boost::asio::awaitable<void> Streams::close(std::uint64_t timeout_ns) {
  SystemClock clock;
  const std::uint64_t until = clock.monotonic_ns() + timeout_ns;
  co_await requesters_.close(until);
  const auto time_left = [&] {
    const std::uint64_t now = clock.monotonic_ns();
    return until > now ? until - now : 0;
  };
  for (auto& [key, producer] : producers_) {
    if (!co_await producer->close(time_left())) tell_left(key, *producer);
  }
  const auto rests = std::exchange(rests_, {});
  for (const auto& [session, producers] : rests) {
    const bool is_own = closed_.contains(session);
    for (const auto& [key, producer] : producers) {
      const bool all = co_await producer->close(is_own ? time_left() : 0);
      if (is_own && !all) tell_left(key, *producer);
    }
  }
}

void Streams::tell_left(const stream::Fingerprint& archive, const stream::Producer& producer) {
  const std::uint64_t items = producer.counters().spooled_items;
  if (producer.kept()) {
    spdlog::warn("archive {}: {} records wait in {} for the next start", stream::to_string(archive),
                 items, spool_->directory());
  } else {
    spdlog::warn("archive {}: {} records were not acknowledged before the end",
                 stream::to_string(archive), items);
  }
}

}  // namespace fieldline::app
