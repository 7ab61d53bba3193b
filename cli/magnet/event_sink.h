// SPDX-License-Identifier: Apache-2.0
// Where magnet-parse puts events: text, JSON, CTF, Chrome's trace format.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/magnet/tool.h"
#include "magnet/merge.h"

namespace fieldline::cli {

struct TraceInfo {
  std::string file;
  magnet::TraceHeader header;
};

// What is known before the first event.
struct TraceSet {
  std::vector<TraceInfo> traces;
  std::uint64_t start_utc_ns = 0;  // of the first event, before any filter
};

class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual Result<void> begin(const TraceSet& set) = 0;
  virtual Result<void> event(const magnet::Event& event) = 0;
  virtual Result<void> end() = 0;
  // What a user has to know of what was given; empty: nothing.
  virtual std::string remark() const { return {}; }
};

enum class TimeColumn { cycles, seconds, utc };

// The paper's table: sockid, time, cpu, event, size, then name=value of the extension.
class TextSink final : public EventSink {
 public:
  TextSink(Output& output, TimeColumn time) : output_(output), time_(time) {}
  Result<void> begin(const TraceSet& set) override;
  Result<void> event(const magnet::Event& event) override;
  Result<void> end() override;

 private:
  void append_time(std::string& line, const magnet::Event& event);

  Output& output_;
  TimeColumn time_;
  std::uint64_t start_ = 0;
  std::uint64_t second_ = UINT64_MAX;  // whose text is kept
  std::string second_text_;
  std::vector<std::string> hosts_;  // of each trace; empty if there is one host
};

// One document a line (fieldline.magnet-parse/1).
class JsonSink final : public EventSink {
 public:
  explicit JsonSink(Output& output) : output_(output) {}
  Result<void> begin(const TraceSet& set) override;
  Result<void> event(const magnet::Event& event) override;
  Result<void> end() override;

 private:
  Output& output_;
};

// The extension as the members of a JSON object, without braces.
void append_extension_json(std::string& out, const magnet::Event& event);
// A name as a JSON string.
std::string json_string(const std::string& text);

}  // namespace fieldline::cli
