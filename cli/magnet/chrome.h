// SPDX-License-Identifier: Apache-2.0
// Events in Chrome's trace format, for Perfetto's page and chrome://tracing: a process per host, a
// thread per socket; a slice from a socket's open to its close, an instant per event, and with an
// extension the congestion window as a counter.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "cli/magnet/event_sink.h"

namespace fieldline::cli {

class ChromeSink final : public EventSink {
 public:
  // "-" is standard output.
  static Result<ChromeSink> create(const std::string& path);
  Result<void> begin(const TraceSet& set) override;
  Result<void> event(const magnet::Event& event) override;
  Result<void> end() override;

 private:
  struct Socket {
    unsigned thread = 0;
    bool open = false;
  };

  explicit ChromeSink(Fd fd, int descriptor) : fd_(std::move(fd)), output_(descriptor) {}
  Result<void> add(const std::string& document);
  Result<void> name_thread(unsigned process, unsigned thread, const std::string& name);
  std::string common(const magnet::Event& event, const Socket& socket) const;
  Result<void> open_or_close(const magnet::Event& event, Socket& socket);

  Fd fd_;
  Output output_;
  std::uint64_t start_ = 0;
  bool first_ = true;
  std::vector<unsigned> processes_;                               // of each trace
  std::map<std::pair<unsigned, std::uint64_t>, Socket> sockets_;  // process, cookie
};

}  // namespace fieldline::cli
