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
#include "cli/application_line.h"
#include "cli/event_join.h"
#include "cli/event_line.h"
#include "cli/magnet/event_filter.h"

namespace fieldline::cli {

struct EventsOptions {
  std::string run;
  std::optional<std::uint64_t> sockid;
  std::vector<std::string>
      events;                // names as printed, layers, patterns of applications' names; none: all
  std::string since, until;  // as magnet-parse takes them; empty: no limit
  std::string host;          // as its records name it; empty: all
  bool json = false;
  bool bp = false;  // applications' events alone, as NetLogger writes them
};

// Takes an answer's blocks. Held in memory until they are printed, since one host's records come
// behind another's and any may be the oldest: 72 bytes an event, 152 a sample, and an application's
// event as it came. Those of one CPU come in their order, so that nothing is sorted: the CPUs' are
// merged while they are printed.
class EventList {
 public:
  static constexpr std::size_t kMost = 32'000'000;  // events and samples; what is more is counted

  // invalid: no event or layer has that name, or what should be a time is none.
  static Result<EventList> create(const EventsOptions& options);

  void take(const pcapng::Report& report);
  // When all is taken: leaves what is not asked for, and makes each CPU's order one of time, which
  // it is but for a clock that was set back.
  void settle();

  std::size_t size() const;                                  // what print() gives, after settle()
  bool is_empty() const { return first_ns_ == UINT64_MAX; }  // nothing was recorded at all
  std::uint64_t left_out() const { return left_out_; }       // past kMost
  std::string head() const;
  // All lines after settle(), until one is refused.
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
  void take_application(ByteView body);
  Result<void> want(const std::string& event);
  bool has_room();
  bool is_asked(const EventLine& line) const;
  bool is_his(EventLine& line) const;
  bool is_host(std::uint16_t host) const;
  std::string text(const EventLine& line) const;
  std::string text(const SampleLine& line) const;
  std::string text(const ApplicationLine& line) const;

  EventsOptions options_;
  EventFilter filter_;
  bool want_samples_ = true, want_events_ = true;
  std::vector<std::string> names_;  // of applications' events: patterns
  std::vector<Host> hosts_;
  std::uint64_t first_ns_ = UINT64_MAX;  // of all, before any filter
  // Deques: growing a vector holds it three times.
  std::map<std::pair<std::uint16_t, std::uint16_t>, std::deque<EventLine>> events_;  // host, CPU
  std::map<std::uint16_t, std::deque<SampleLine>> samples_;                          // host
  std::deque<ApplicationLine> applications_;
  std::vector<std::string> application_losses_;  // what they say of themselves; the first few
  std::size_t held_ = 0;
  std::uint64_t left_out_ = 0;
  EventJoin join_;  // with a sockid
  std::uint64_t unreadable_ = 0;
};
static_assert(sizeof(EventLine) == 72 && sizeof(SampleLine) == 152);

}  // namespace fieldline::cli
