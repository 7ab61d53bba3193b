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

// Of the network namespace in which it was opened. Programs are attached while watch() has entries
// and the process lives (BPF links, no pins).
class HostEvents : public magnet::EventSource {
 public:
  static Result<std::unique_ptr<HostEvents>> open(const HostEventOptions& options);

  // Records what belongs to these entries, as Source::apply() takes them, and nothing else: sockets
  // by their own address to their peer's, packets as they are on the wire.
  virtual Result<void> watch(const std::vector<FlowEntry>& desired) = 0;
  // Returns when every program run that may have read older entries is over.
  virtual Result<void> quiesce() = 0;
};

}  // namespace fieldline::source
