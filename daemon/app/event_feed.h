// SPDX-License-Identifier: Apache-2.0
// Where this host's event records come from: the module where it is loaded and free, else eBPF.
// Hooks are armed while a run is on, by either: the module's while its devices are open. Arming and
// disarming take the kernel up to seconds, so a worker does them; all else is the io thread's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/config.h"
#include "app/worker.h"
#include "magnet/events.h"
#include "proto/event.h"
#include "source/host_events.h"

namespace fieldline::app {

// How sources are opened; called by the worker, and by choose().
struct EventOpeners {
  struct Module {
    std::shared_ptr<magnet::EventSource> events;
    std::uint64_t skipped = 0;  // records of before, handed to nobody
  };
  std::string wanted = "auto";  // "module", "ebpf", or whichever there is
  std::function<Result<Module>()> module;
  std::function<Result<std::shared_ptr<source::HostEvents>>()> ebpf;

  static EventOpeners of(const HostConfig& config);
};

class EventFeed {
 public:
  using Done = std::function<void(Result<void>)>;

  // Chooses at the daemon's start, which may wait for it, and "auto" again whenever the hooks are
  // armed: where somebody else holds the module's devices then, eBPF stands in until no run is
  // left.
  static Result<std::unique_ptr<EventFeed>> choose(Worker& worker, EventOpeners openers);

  const char* kind() const { return ebpf_ ? "ebpf" : "module"; }
  fl_event_source source() const { return ebpf_ ? FL_EVENT_EBPF : FL_EVENT_MODULE; }
  const char* state() const;  // "idle", "arming", "armed" or "disarming"
  const std::string& why() const { return why_; }
  const std::vector<std::string>& absent() const { return absent_; }
  std::uint64_t skipped() const { return skipped_; }

  // What eBPF records belongs to these entries; the module records everything while it is armed.
  // Without entries hooks are disarmed.
  Result<void> apply(const std::vector<source::FlowEntry>& entries);
  // Done once the hooks are armed, which may be now, or cannot be.
  void arm(Done done);
  // Done once no program runs that may have read older entries, and whatever was asked for before.
  void quiesce(Done done);
  Result<std::size_t> drain(const magnet::EventSource::OnBatch& on_batch);
  // As it was last, while nothing is open.
  magnet::Accounting accounting();

 private:
  enum class State { idle, arming, armed, disarming };
  struct Armed {
    EventOpeners::Module module;               // if it is the module's
    std::shared_ptr<source::HostEvents> ebpf;  // else
    std::string why;
  };

  EventFeed(Worker& worker, EventOpeners openers) : worker_(worker), openers_(std::move(openers)) {}
  static Result<Armed> open_and_arm(const EventOpeners& openers,
                                    std::shared_ptr<source::HostEvents> idle,
                                    const std::vector<source::FlowEntry>& entries);
  void start_arming();
  void on_armed(Result<Armed> armed);
  void take(Armed armed);
  void disarm();

  Worker& worker_;
  EventOpeners openers_;
  State state_ = State::idle;
  bool wanted_ = false;          // a run is on
  bool prefers_module_ = false;  // eBPF only stands in
  std::vector<Done> waiting_;    // for the hooks
  std::vector<source::FlowEntry> entries_;
  std::string why_;
  std::vector<std::string> absent_;
  std::shared_ptr<source::HostEvents> ebpf_;     // idle or armed, if it is the source
  std::shared_ptr<magnet::EventSource> module_;  // while it is armed
  magnet::Accounting last_;                      // of the present source
  std::uint64_t skipped_ = 0;
};

}  // namespace fieldline::app
