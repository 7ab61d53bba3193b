// SPDX-License-Identifier: Apache-2.0
// The event records of an answer that are asked for, in the order of time.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/event.h"
#include "base/pcapng.h"
#include "base/run_id.h"
#include "cli/event_join.h"
#include "cli/event_line.h"

namespace fieldline::cli {

struct EventsOptions {
  std::string run;
  std::optional<std::uint64_t> sockid;
  std::string event;  // a name as printed; empty: all
  std::string host;   // as its records name it; empty: all
  bool json = false;
};

// Takes an answer's blocks. Held in memory until sort(): a record of any host may be the oldest.
// 72 bytes an event and 152 a sample, and half as much again while they are sorted.
class EventList {
 public:
  // not_found: no event has that name.
  static Result<EventList> create(const EventsOptions& options);

  void take(const pcapng::Report& report);
  // By time; what the hosts' order on one CPU was is kept where times are equal.
  void sort();

  std::size_t size() const { return events_.size() + samples_.size(); }
  std::string head() const;
  // All lines after sort(), until one is refused.
  void print(const std::function<bool(const std::string&)>& to) const;
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

  EventList() = default;
  std::uint16_t host_of(const RunId& session);
  void take_document(const pcapng::Report& report);
  void take_events(const EventBody& body);
  void take_samples(const EventBody& body);
  void leave_others();
  bool is_host(std::uint16_t host) const;

  EventsOptions options_;
  std::optional<std::uint32_t> code_;
  bool want_samples_ = true, want_events_ = true;
  std::vector<Host> hosts_;
  // Not vectors: growing one holds it three times.
  std::deque<EventLine> events_;
  std::deque<SampleLine> samples_;
  EventJoin join_;  // with a sockid
  std::uint64_t unreadable_ = 0;
};
static_assert(sizeof(EventLine) == 72 && sizeof(SampleLine) == 152);

}  // namespace fieldline::cli
