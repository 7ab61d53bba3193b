// SPDX-License-Identifier: Apache-2.0
#include "cli/live_feed.h"

#include <sys/eventfd.h>

#include "base/clock.h"
#include "cli/fields.h"

namespace fieldline::cli {

Result<std::unique_ptr<LiveFeed>> LiveFeed::start(std::unique_ptr<stream::Reader> reader,
                                                  nlohmann::json request,
                                                  const MergeLimits& limits) {
  std::unique_ptr<LiveFeed> feed(new LiveFeed(std::move(reader), limits));
  feed->news_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!feed->news_) return fail_errno("making an eventfd");
  auto follow = [at = feed.get(), request = std::move(request)] { at->follow(request); };
  feed->thread_ = std::thread(std::move(follow));
  return feed;
}

LiveFeed::~LiveFeed() {
  stop();
  thread_.join();
}

void LiveFeed::clear() {
  eventfd_t count = 0;
  ::eventfd_read(news_.get(), &count);
}

void LiveFeed::stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    merge_.end();
    room_.notify_one();
  }
  reader_->cancel();
}

std::optional<LiveFeed::Ended> LiveFeed::ended() {
  std::lock_guard lock(mutex_);
  return ended_;
}

void LiveFeed::follow(const nlohmann::json& request) {
  auto result = reader_->request(request, [this](ByteView bytes) { return take(bytes); });
  std::lock_guard lock(mutex_);
  ended_.emplace();
  if (damage_) {
    ended_->error = damage_;
  } else if (result) {
    ended_->skipped_bytes = number_at(*result, "skipped_bytes");
  } else if (!stopped_) {
    ended_->error = result.error();
  }
  merge_.end();
  ::eventfd_write(news_.get(), 1);
}

// false ends the request.
bool LiveFeed::take(ByteView bytes) {
  std::unique_lock lock(mutex_);
  room_.wait(lock, [this] { return stopped_ || !merge_.is_full(); });
  if (stopped_) return false;
  auto fed = merge_.feed(bytes, SystemClock().monotonic_ns());
  ::eventfd_write(news_.get(), 1);
  if (!fed) damage_ = std::move(fed.error());
  return !damage_;
}

}  // namespace fieldline::cli
