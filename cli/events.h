// SPDX-License-Identifier: Apache-2.0
// `fieldline events`: what the hosts' sockets did in a run, in the order of time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/event.h"
#include "base/pcapng.h"
#include "base/run_id.h"
#include "cli/settings.h"

namespace fieldline::cli {

struct EventsOptions {
  std::string run;
  std::optional<std::uint64_t> sockid;
  std::string event;  // a name as printed; empty: all
  std::string host;   // as its records name it; empty: all
  bool json = false;
};
int events(const EventsOptions& options, const UserSettings& settings);

// Takes an answer's blocks, keeps the event records that are asked for, and prints them.
class EventList {
 public:
  // not_found: no event has that name.
  static Result<EventList> create(const EventsOptions& options);

  void take(const pcapng::Report& report);
  // By time; what the hosts' order on one CPU was is kept where times are equal.
  void sort();

  std::size_t size() const { return lines_.size(); }
  std::string head() const;
  std::string line(std::size_t i) const;
  // What was not recorded, one sentence a host; empty: nothing that anybody knows of.
  std::vector<std::string> missing() const;
  std::uint64_t unreadable() const { return unreadable_; }  // frames of a later version

 private:
  struct Host {
    RunId session;
    std::string name, source;
    std::map<std::string, std::uint64_t> lost;  // named losses of its last counts
    std::vector<std::string> absent;
  };
  struct Line {
    std::uint16_t host = 0, cpu = 0;
    bool is_sample = false, has_extension = false;
    union {
      magnet_record_ext record;
      fl_tcp_info sample;
    };
    std::uint64_t time() const { return is_sample ? sample.timestamp : record.head.timestamp; }
    std::uint64_t sockid() const { return is_sample ? sample.sockid : record.head.sockid; }
  };

  EventList() = default;
  std::uint16_t host_of(const RunId& session);
  void take_document(const pcapng::Report& report);
  void take_events(const EventBody& body);
  bool wants(const Line& line) const;
  std::string text_line(const Line& line) const;
  std::string json_line(const Line& line) const;

  EventsOptions options_;
  std::optional<std::uint32_t> code_;
  bool samples_ = true, records_ = true;
  std::vector<Host> hosts_;
  std::vector<Line> lines_;
  std::uint64_t unreadable_ = 0;
};

}  // namespace fieldline::cli
