// SPDX-License-Identifier: Apache-2.0
// The archive's answer to a followed query, taken in by a thread of its own and merged.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include <nlohmann/json.hpp>

#include "base/fd.h"
#include "cli/live_merge.h"
#include "stream/reader.h"

namespace fieldline::cli {

class LiveFeed {
 public:
  static Result<std::unique_ptr<LiveFeed>> start(std::unique_ptr<stream::Reader> reader,
                                                 nlohmann::json request, const MergeLimits& limits);
  ~LiveFeed();  // cancels and joins
  LiveFeed(const LiveFeed&) = delete;

  // Readable when something came, or the end. clear() before asking.
  int fd() const { return news_.get(); }
  void clear();
  // Nothing more is taken in; what is held may all be written.
  void stop();

  struct Ended {
    std::optional<Error> error;  // why, if not in order; none after stop()
    std::uint64_t skipped_bytes = 0;
  };
  std::optional<Ended> ended();
  // While the thread waits. The archive is not read on while the merge is full.
  template <class Use>
  auto with_merge(Use use) {
    std::lock_guard lock(mutex_);
    room_.notify_one();
    return use(merge_);
  }

 private:
  LiveFeed(std::unique_ptr<stream::Reader> reader, const MergeLimits& limits)
      : reader_(std::move(reader)), merge_(limits) {}
  void follow(const nlohmann::json& request);
  bool take(ByteView bytes);

  const std::unique_ptr<stream::Reader> reader_;
  Fd news_;  // eventfd
  std::mutex mutex_;
  std::condition_variable room_;  // in the merge, or stopped_
  LiveMerge merge_;               // by mutex_, and what follows
  bool stopped_ = false;
  std::optional<Error> damage_;
  std::optional<Ended> ended_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace fieldline::cli
