// SPDX-License-Identifier: Apache-2.0
// From a host's event records to the event frames of each run.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/event.h"
#include "capture/gaps.h"
#include "capture/host_sockets.h"
#include "magnet/events.h"

namespace fieldline::capture {

// Where a run's event records go: the body of one event frame. False: dropped, the spool is full.
using EventSink = std::function<bool(const RunId& run, ByteView body)>;

// Of one run. MAGNET_LOST records stand in the frames beside the events and are not counted here:
// what they tell is the source's accounting.
struct HostCounts {
  std::uint64_t events = 0;  // of this run = recorded + counted + dropped_spool
  std::uint64_t recorded = 0;
  std::uint64_t counted = 0;  // of a run that is counted alone
  std::uint64_t dropped_spool = 0;
  std::uint64_t samples = 0, samples_dropped = 0;  // of tcp_info
  std::uint64_t sockets = 0;                       // that were opened or met in it
  // Given up unasked while it was on, and told by MAGNET_LOST: one of them may have been its own.
  std::uint64_t unasked = 0;
};

// A run has a right to what happened in this time, whenever it is looked at. UTC, as records are: a
// clock that is set back takes records from a run, and gives it none.
struct HostRun {
  RunId run;
  std::uint64_t begin_ns = 0, end_ns = UINT64_MAX;
  bool counted_alone = false;  // no records of it
};

// Asks the kernel for that one socket: as this namespace has it, if it has.
using Confirm = std::function<std::optional<DiagSocket>(const DiagSocket& opened)>;

// Records given = those of runs (each of several: each) + others + unjoined + waiting.
struct HostTotals {
  std::uint64_t taken = 0;     // belonged to a run at least
  std::uint64_t others = 0;    // of sockets of no run, of other interfaces: left alone on purpose
  std::uint64_t unjoined = 0;  // whose they are cannot be told
};

class HostRecorder {
 public:
  static constexpr std::size_t kWaiting = 65536;  // records; past that they are given up

  // `source`: FL_EVENT_MODULE or FL_EVENT_EBPF; the latter compares addresses itself.
  HostRecorder(fl_event_source source, const RunId& session, EventSink sink)
      : HostRecorder(source, session, std::vector<EventSink>{std::move(sink)}) {}
  // A copy of each run for each sink, which takes or drops it on its own.
  HostRecorder(fl_event_source source, const RunId& session, std::vector<EventSink> sinks)
      : source_(source),
        session_(session),
        sinks_(std::move(sinks)),
        sockets_(source == FL_EVENT_EBPF) {}

  // When others' records come from now on: what is unfinished is handed over first.
  void set_source(fl_event_source source);
  // A source that records the whole machine says of no socket whose it is: one that opens with a
  // run's addresses is believed when this confirms it. Without it sock_diag must have told it.
  void confirm_by(Confirm confirm) { confirm_ = std::move(confirm); }
  // Device records of other interfaces are nobody's: a bond, a VLAN and the port below them have
  // one each of the same packet. None: of all.
  void set_interfaces(std::vector<int> ifindexes) { ifindexes_ = std::move(ifindexes); }
  // When the set of runs, their times or their flows changed. Of a run without a time: all of it.
  void set_flows(std::vector<HostFlow> flows, std::vector<HostRun> runs = {});
  void on_batch(const magnet::EventSource::Batch& batch);
  // Records wait, in their order, behind one whose cookie is not known, and from ask() to settle():
  // what sock_diag says must not meet what happened after it. In between, learn() it.
  bool asks() const { return !waiting_.empty(); }
  std::uint64_t ask();
  void learn(const DiagSocket& socket) { sockets_.learn(socket); }
  // The answer is of no use to records that came behind its question.
  void settle(std::uint64_t question);

  std::vector<const HostSocket*> sampled() const { return sockets_.sampled(); }
  // `info`: struct tcp_info as the kernel gave it; none: the socket is gone.
  void on_sample(const HostSocket& socket, ByteView info, std::uint64_t utc_ns);
  void gone(std::uint64_t cookie) { sockets_.close(cookie); }

  // Hands every unfinished batch to the sink.
  void flush();
  HostCounts counts(const RunId& run, std::size_t copy = 0) const;
  // What follows is of that session, and counted anew. Behind flush(): what is unfinished bears the
  // old one.
  void begin_session(const RunId& session);
  // When the sink took no more events.
  const std::vector<Gap>& gaps(const RunId& run, std::size_t copy = 0) const;
  const HostTotals& totals() const { return totals_; }
  std::uint64_t sockets_refused() const { return sockets_.refused(); }  // no room to know them
  void forget(const RunId& run);

 private:
  struct Waiting {
    unsigned cpu;
    bool has_extension;
    magnet_record_ext record;
    std::uint64_t tag = 0;  // of a packet's addresses
  };
  struct Batch {
    EventBodyWriter body;
    Gap events;  // what is lost if nobody takes it

    void note(std::uint64_t at_ns);
  };
  struct Copy {
    std::uint64_t recorded = 0, dropped_spool = 0, samples = 0, samples_dropped = 0;
    Gaps gaps;
  };
  struct Run {
    explicit Run(std::size_t copies_kept) : copies(copies_kept) {}

    std::map<std::pair<unsigned, bool>, Batch> batches;  // by CPU and extension
    std::optional<EventBodyWriter> samples;
    HostCounts common;  // what is the same for each copy
    std::vector<Copy> copies;
  };

  bool take(const Waiting& one, bool asked);
  void open(const Waiting& one, bool asked);
  void give_up();
  bool is_on(const RunId& run, std::uint64_t at_ns) const;
  bool is_counted_alone(const RunId& run) const;
  bool is_elsewhere(const Waiting& one) const;
  void give(const Runs& runs, const Waiting& one);
  Run& run_of(const RunId& id);
  void add(const RunId& id, const Waiting& one);
  void flush(const RunId& id, Run& run);
  void hand_over(const RunId& id, Run& run, Batch& batch);

  fl_event_source source_;
  RunId session_;
  std::vector<EventSink> sinks_;
  HostSockets sockets_;
  std::vector<int> ifindexes_;  // whose device records are taken
  Confirm confirm_;
  Runs active_;
  std::unordered_map<RunId, HostRun> times_;
  std::deque<Waiting> waiting_;
  std::uint64_t waited_ = 0;  // of all times
  unsigned questions_ = 0;    // without an answer
  std::unordered_map<RunId, Run> runs_;
  HostTotals totals_;
};

}  // namespace fieldline::capture
