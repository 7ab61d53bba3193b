// SPDX-License-Identifier: Apache-2.0
// A host's event records by eBPF, where no module may be loaded (bpf/host.bpf.c).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "magnet/events.h"
#include "source/source.h"

namespace fieldline::source {

struct HostEventOptions {
  std::vector<std::string> interfaces;  // whose device layer is recorded
  std::uint32_t ring_bytes = 4u << 20;  // power of two
  std::uint32_t max_flows = 4096;       // two entries each
};

// Of the network namespace in which it was opened. Programs are attached from arm() to disarm(), at
// most as long as the process lives (BPF links, no pins). Those two may take long: one other thread
// may be in arm(), disarm() or quiesce() while apply(), drain() or accounting() is called.
class HostEvents : public magnet::EventSource {
 public:
  static Result<std::unique_ptr<HostEvents>> open(const HostEventOptions& options);

  // Records what belongs to these entries, as Source::apply() takes them, and nothing else: sockets
  // by their own address to their peer's, packets as they are on the wire.
  virtual Result<void> apply(const std::vector<FlowEntry>& desired) = 0;
  // Attaches the programs, and takes them away: without entries they record nothing, but run.
  virtual Result<void> arm() = 0;
  virtual void disarm() = 0;
  // Returns when every program run that may have read older entries is over.
  virtual Result<void> quiesce() = 0;
};

}  // namespace fieldline::source
