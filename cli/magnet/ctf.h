// SPDX-License-Identifier: Apache-2.0
// Events as a CTF 1.8 trace: a folder with its metadata and one stream file per CPU. babeltrace2
// and Trace Compass read it.
#pragma once

#include <map>
#include <string>

#include "base/bytes.h"
#include "base/fd.h"
#include "cli/magnet/event_sink.h"

namespace fieldline::cli {

class CtfSink final : public EventSink {
 public:
  // The folder is made; what is there is not touched.
  explicit CtfSink(std::string folder) : folder_(std::move(folder)) {}
  Result<void> begin(const TraceSet& set) override;
  Result<void> event(const magnet::Event& event) override;
  Result<void> end() override;

  std::string remark() const override;

 private:
  struct Stream {
    Fd fd;
    Bytes body;  // of the packet that is being filled
    std::uint64_t first_ns = 0, last_ns = 0;
    std::uint64_t packets = 0, lost = 0;
  };

  Result<Stream*> stream_of(unsigned cpu);
  Result<void> flush(unsigned cpu, Stream& stream);
  Result<void> write_file(const std::string& name, const std::string& text);

  std::string folder_;
  magnet::BootId uuid_{};
  std::map<unsigned, Stream> streams_;
  // Events whose time went back within a CPU (its clock was set): they got the time before.
  std::uint64_t clamped_ = 0;
};

}  // namespace fieldline::cli
