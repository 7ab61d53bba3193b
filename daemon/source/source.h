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
#include "source/nic_drops.h"

namespace fieldline::source {

struct Options {
  std::vector<std::string> interfaces;          // taps
  std::uint32_t header_ring_bytes = 16u << 20;  // power of two
  std::uint32_t trigger_ring_bytes = 1u << 18;  // power of two
  std::uint32_t max_flows = FL_FLOWS_DEFAULT;   // two entries each
  std::vector<std::string> in_path;             // of a host or router: packets go on untouched
  // Packets that a tap took in by one NAPI poll bear the time at which the first of them was
  // lifted.
  bool time_per_poll = false;
};

// Of an interface in the path, what comes in and what goes out are two places.
enum class Place : std::uint8_t { tap, in, out };

// A port as it is; its number is its place in Source::ports().
struct PortState {
  std::string name;       // "tap0", "eth0 in", "eth0 out"
  std::string interface;  // "eth0"
  Place place = Place::tap;
  std::string kind;        // "veth", "bridge", "dummy", ...; "nic"
  std::string driver;      // as ethtool names it; may be empty
  std::string attachment;  // "native XDP", "tcx", "clsact"; empty: its interface is absent
  std::string remark;      // why it is not attached as well as it could be, or at all
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
  // Loads the classifier and attaches it: as native XDP to taps, whose packets are consumed after
  // use, by tc to both directions of interfaces in the path, where they go on. Refuses a tap that
  // has an address, a route or a master, with the command that mends it. Everything is undone when
  // the Source is destroyed or the process dies (BPF links, no pins; but see TcHook).
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

  virtual const std::vector<PortState>& ports() const = 0;
  // Packets came so much later than they are stamped, at most, so far: 0 but for time_per_poll.
  virtual std::uint64_t stamps_early_by_ns() const = 0;
  // What the NICs of the ports dropped so far, as the ports stand now; of an absent port, and of
  // packets that go out, nothing. Asking may take milliseconds for each port, and may be done on
  // another thread.
  using NicQuestion = std::function<std::vector<NicDrops>()>;
  virtual NicQuestion nic_question() const = 0;
  // Readable when an interface came, went or changed: follow_links() lets go of a port whose
  // interface is gone, or a tap no more (it was given an address or a master, whose packets would
  // be consumed), and attaches one that can be again, under its number. What there is to say of it,
  // a line each.
  virtual int links_fd() const = 0;
  virtual std::vector<std::string> follow_links() = 0;
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
