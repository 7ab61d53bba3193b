// SPDX-License-Identifier: Apache-2.0
#include "cli/run_watch.h"

#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/pcapng.h"
#include "proto/frame.h"

namespace fieldline::cli {

Result<std::unique_ptr<WatchQueue>> WatchQueue::create() {
  auto queue = std::make_unique<WatchQueue>();
  queue->fd_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!queue->fd_) return fail_errno("making an eventfd");
  return queue;
}

void WatchQueue::push(WatchEvent event) {
  std::lock_guard lock(mutex_);
  events_.push_back(std::move(event));
  ::eventfd_write(fd_.get(), 1);
}

std::vector<WatchEvent> WatchQueue::drain() {
  std::lock_guard lock(mutex_);
  eventfd_t count = 0;
  ::eventfd_read(fd_.get(), &count);
  return std::exchange(events_, {});
}

RunWatch::RunWatch(std::unique_ptr<stream::Reader> reader, const RunId& run, WatchQueue& queue,
                   bool packets)
    : reader_(std::move(reader)),
      run_(run),
      queue_(queue),
      packets_(packets),
      analyzer_(analysis::PathAnalyzer::create()) {
  thread_ = std::thread([this] { follow(); });
}

RunWatch::~RunWatch() {
  reader_->cancel();
  thread_.join();
}

analysis::PathReport RunWatch::report() {
  std::lock_guard lock(mutex_);
  return analyzer_->report();
}

void RunWatch::follow() {
  nlohmann::json request = {{"op", "query"},   {"run", run_.hex()}, {"follow", true},
                            {"reports", true}, {"events", false},   {"packets", packets_}};
  auto result = reader_->request(request, [this](ByteView bytes) { return take(bytes); });
  WatchEvent end;
  end.run = run_;
  end.error = damage_;
  if (!end.error && !result) end.error = result.error();
  queue_.push(std::move(end));
}

// false ends the request: bytes behind damage mean nothing.
bool RunWatch::take(ByteView bytes) {
  if (!bytes.empty()) heard_ns_ = SystemClock().monotonic_ns();
  pcapng_.feed(bytes);
  for (;;) {
    auto block = pcapng_.next();
    if (!block) {
      damage_ = std::move(block.error()).in("the archive's answer");
      return false;
    }
    if (!*block) return true;
    auto taken = take_block(**block);
    if (!taken) {
      damage_ = std::move(taken.error()).in("analysis");
      return false;
    }
  }
}

Result<void> RunWatch::take_block(const pcapng::Block& block) {
  if (const auto* report = std::get_if<pcapng::Report>(&block)) {
    WatchEvent event;
    event.run = run_;
    event.document =
        nlohmann::json::parse(report->payload.begin(), report->payload.end(), nullptr, false);
    bool known = true;
    switch (report->type) {
      case FL_FRAME_ACTIVATION:
        event.kind = WatchEvent::Kind::activation;
        break;
      case FL_FRAME_FINAL_COUNTS:
        event.kind = WatchEvent::Kind::counts;
        break;
      case FL_FRAME_CONFIGURATION:
        event.kind = WatchEvent::Kind::configuration;
        break;
      default:
        known = false;
    }
    if (known && event.document.is_object()) queue_.push(std::move(event));
  }
  std::lock_guard lock(mutex_);
  return analyzer_->feed(block);
}

}  // namespace fieldline::cli
