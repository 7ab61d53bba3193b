// SPDX-License-Identifier: Apache-2.0
// Follows one run at the archive, in a thread of its own: header records go to the analysis,
// reports of sensors to the queue of the one who asked.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "analysis/path.h"
#include "base/fd.h"
#include "base/result.h"
#include "base/run_id.h"
#include "stream/reader.h"

namespace fieldline::cli {

struct WatchEvent {
  enum class Kind { activation, counts, configuration, finished };
  Kind kind = Kind::finished;
  RunId run;
  nlohmann::json document;     // not of finished
  std::optional<Error> error;  // of finished: why, if not in order
};

// From watching threads to the one that polls fd().
class WatchQueue {
 public:
  static Result<std::unique_ptr<WatchQueue>> create();
  int fd() const { return fd_.get(); }
  void push(WatchEvent event);
  std::vector<WatchEvent> drain();

 private:
  Fd fd_;  // eventfd, readable while events wait
  std::mutex mutex_;
  std::vector<WatchEvent> events_;
};

class RunWatch {
 public:
  // The queue must outlive this. Without packets: reports alone, of which no path can be told.
  RunWatch(std::unique_ptr<stream::Reader> reader, const RunId& run, WatchQueue& queue,
           bool packets = true);
  ~RunWatch();  // cancels and joins
  RunWatch(const RunWatch&) = delete;

  analysis::PathReport report();
  // When the last of the answer came (monotonic); 0: nothing has.
  std::uint64_t heard_ns() const { return heard_ns_; }

 private:
  void follow();
  bool take(ByteView bytes);
  Result<void> take_block(const pcapng::Block& block);

  std::unique_ptr<stream::Reader> reader_;
  const RunId run_;
  WatchQueue& queue_;
  const bool packets_;
  std::atomic<std::uint64_t> heard_ns_ = 0;
  pcapng::Reader pcapng_;        // of the thread alone
  std::optional<Error> damage_;  // of the thread alone
  std::mutex mutex_;             // guards analyzer_
  std::unique_ptr<analysis::PathAnalyzer> analyzer_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace fieldline::cli
