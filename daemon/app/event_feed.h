// SPDX-License-Identifier: Apache-2.0
// Where this host's event records come from: the module where it is loaded and free, else eBPF.
// Hooks are armed while a run is on, by either: the module's while its devices are open.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/config.h"
#include "magnet/events.h"
#include "proto/event.h"
#include "source/host_events.h"

namespace fieldline::app {

class EventFeed {
 public:
  // Chooses at the start, and "auto" again when a run begins and none was on: where somebody else
  // holds the module's devices then, eBPF stands in until no run is left.
  static Result<EventFeed> choose(const HostConfig& config);

  const char* kind() const { return ebpf_ ? "ebpf" : "module"; }
  fl_event_source source() const { return ebpf_ ? FL_EVENT_EBPF : FL_EVENT_MODULE; }
  const std::string& why() const { return why_; }
  const std::vector<std::string>& absent() const { return absent_; }

  // Records what belongs to these entries (eBPF), or everything while there are any (module).
  Result<void> watch(const std::vector<source::FlowEntry>& entries);
  Result<void> quiesce();
  Result<std::size_t> drain(const magnet::EventSource::OnBatch& on_batch);
  // As it was last, while nothing is open.
  magnet::Accounting accounting();

 private:
  EventFeed() = default;
  Result<void> open_module();
  Result<void> open_ebpf(const std::string& why);

  HostConfig config_;
  bool prefers_module_ = false;
  bool active_ = false;  // a run is on
  std::string why_;
  std::vector<std::string> absent_;
  std::unique_ptr<source::HostEvents> ebpf_;
  std::unique_ptr<magnet::EventSource> module_;  // while a run is on
  magnet::Accounting last_;                      // of the present source
};

}  // namespace fieldline::app
