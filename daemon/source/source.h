// SPDX-License-Identifier: Apache-2.0
// Ports, the classifier on them, and its maps. The only folder that knows libbpf.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "proto/flow.h"
#include "proto/lift.h"

namespace fieldline::source {

struct Options {
  std::vector<std::string> interfaces;          // taps; the index is the port's number
  std::uint32_t header_ring_bytes = 16u << 20;  // power of two
  std::uint32_t trigger_ring_bytes = 1u << 18;  // power of two
  std::uint32_t max_flows = FL_FLOWS_DEFAULT;   // two entries each
};

// One entry that the flow table shall hold. The key is already masked.
struct FlowEntry {
  fl_flow_key key{};
  fl_flow_key mask{};  // all ones where a bit counts
  fl_flow_value value{};
};

// What apply() changed.
struct Applied {
  unsigned added = 0, updated = 0, removed = 0;
};

class Source {
 public:
  // Loads the classifier and attaches it as native XDP, in tap mode: packets are consumed after
  // use. Refuses an interface that has an address, a route or a master, with the command that mends
  // it. Everything is undone when the Source is destroyed or the process dies (BPF links, no pins).
  static Result<std::unique_ptr<Source>> open(const Options& options);
  virtual ~Source() = default;

  // Makes the flow table hold exactly these entries, by writing the difference. New entries are
  // written with their counters at zero; an entry whose slot is unchanged keeps its counters.
  virtual Result<Applied> apply(const std::vector<FlowEntry>& desired) = 0;

  // Whether triggers are looked for inside tunnels; at first they are not.
  virtual Result<void> look_inside(bool triggers) = 0;

  // Returns when every program run that may have read an older flow table is over (RCU grace
  // period).
  virtual Result<void> quiesce() = 0;

  virtual Result<fl_flow_counters> flow_counters(std::uint32_t slot) const = 0;  // summed over CPUs
  virtual Result<fl_port_counters> port_counters(std::uint16_t port) const = 0;

  // Descriptors that become readable; the header ring is read on a timer instead (no wakeups on its
  // path).
  virtual int trigger_fd() const = 0;

  using OnHeader = std::function<void(const fl_lift&, ByteView frame)>;
  using OnTrigger = std::function<void(const fl_trigger_lift&, ByteView trigger)>;
  // Everything that stands in the ring now; the number of records given.
  virtual Result<std::size_t> drain_headers(const OnHeader& on_header) = 0;
  virtual Result<std::size_t> drain_triggers(const OnTrigger& on_trigger) = 0;
};

}  // namespace fieldline::source
