// SPDX-License-Identifier: Apache-2.0
#include "app/requesters.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/clock.h"

namespace fieldline::app {

std::size_t Requesters::at_work() const {
  return static_cast<std::size_t>(std::count_if(
      all_.begin(), all_.end(), [](const auto& one) { return one.second.producer != nullptr; }));
}

Result<void> Requesters::make_room(const stream::Fingerprint& archive) const {
  if (at_work() >= kDialled) {
    return fail(Code::exhausted, std::to_string(at_work()) +
                                     " archives of requesters are in use; select one that is "
                                     "pinned here, or wait");
  }
  if (all_.contains(archive) || all_.size() < kKnown) return {};
  return fail(Code::exhausted, "this session knows " + std::to_string(all_.size()) +
                                   " archives of requesters, its most; select one of them or one "
                                   "that is pinned here, or have fieldlined restarted");
}

// A key is one archive's, which stands on one host: else one principal's claim would lead another's
// records astray.
Result<void> Requesters::begin(const RunId& run, const stream::Fingerprint& archive,
                               const std::string& host) {
  auto known = all_.find(archive);
  const bool is_at_work = known != all_.end() && known->second.producer != nullptr;
  if (is_at_work && known->second.where.host != host) {
    return fail(Code::exhausted, "that archive is in use as one on " + known->second.where.host +
                                     "; wait until its runs are over");
  }
  if (!is_at_work) {
    if (auto room = make_room(archive); !room) return room;
  }
  Requester& requester = all_[archive];
  if (!is_at_work) {
    requester.where.host = host;
    requester.where.key = archive;
    requester.producer = make_(requester.where, requester.numbered);
  }
  if (runs_.emplace(run, archive).second) ++requester.runs;
  requester.forgetting.reset();
  return {};
}

void Requesters::end(const RunId& run) {
  auto of_run = runs_.find(run);
  if (of_run == runs_.end()) return;
  const stream::Fingerprint archive = of_run->second;
  runs_.erase(of_run);
  Requester& requester = all_.at(archive);
  if (--requester.runs > 0) return;
  auto& timer = requester.forgetting;
  timer = std::make_unique<boost::asio::steady_timer>(io_);
  timer->expires_after(std::chrono::nanoseconds(kept_ns_));
  timer->async_wait([this, archive](boost::system::error_code error) {
    auto known = all_.find(archive);
    if (!error && known != all_.end() && known->second.runs == 0) forget(archive);
  });
}

stream::Producer* Requesters::find(const stream::Fingerprint& archive) {
  auto known = all_.find(archive);
  return known == all_.end() ? nullptr : known->second.producer.get();
}

std::uint64_t Requesters::numbered(const stream::Fingerprint& archive) const {
  auto known = all_.find(archive);
  return known == all_.end() ? 0 : known->second.numbered;
}

void Requesters::dial(const stream::Fingerprint& archive) {
  auto known = all_.find(archive);
  if (known == all_.end() || !known->second.producer || known->second.is_dialled) return;
  known->second.is_dialled = true;
  known->second.producer->start();
}

// One that took nothing in all the session has no numbers that could be met again.
void Requesters::forget(const stream::Fingerprint& archive) {
  Requester& requester = all_.at(archive);
  if (!requester.producer) return;
  const auto counters = requester.producer->counters();
  requester.numbered = counters.offered;
  dropped_ += counters.dropped_spool;
  if (requester.is_dialled && counters.spooled_items > 0) {
    given_up_ += counters.spooled_items;
    spdlog::warn("the requester's archive {} on {} did not take {} items; they are given up: {}",
                 stream::to_string(archive), requester.where.host, counters.spooled_items,
                 requester.producer->last_error());
  }
  requester.producer.reset();
  requester.is_dialled = false;
  requester.forgetting.reset();
  requester.was_met |= counters.connects > 0;
  if (!requester.was_met) all_.erase(archive);
}

nlohmann::json Requesters::report() const {
  std::uint64_t dialled = 0, dropped = dropped_;
  for (const auto& [key, requester] : all_) {
    dialled += requester.is_dialled;
    if (requester.producer) dropped += requester.producer->counters().dropped_spool;
  }
  return {{"known", all_.size()},
          {"dialled", dialled},
          {"dropped_spool", dropped},
          {"given_up", given_up_}};
}

boost::asio::awaitable<void> Requesters::close(std::uint64_t until_mono_ns) {
  SystemClock clock;
  std::vector<stream::Fingerprint> keys;
  for (auto& [key, requester] : all_) {
    requester.forgetting.reset();
    keys.push_back(key);
  }
  for (const stream::Fingerprint& key : keys) {
    if (all_.at(key).is_dialled) {
      const std::uint64_t now = clock.monotonic_ns();
      co_await all_.at(key).producer->close(until_mono_ns > now ? until_mono_ns - now : 0);
    }
    forget(key);
  }
}

}  // namespace fieldline::app
