// SPDX-License-Identifier: Apache-2.0
// The real classifier, loaded but attached to nothing; frames go in by BPF_PROG_TEST_RUN. Loading
// takes half a second (and many in an emulated guest), so that a loaded one is emptied and used
// again.
#pragma once

#include <linux/bpf.h>

#include <memory>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "source/classifier.h"
#include "source/flow_table.h"
#include "source/rings.h"

namespace fieldline {

constexpr std::uint64_t kForever = UINT64_MAX;

struct Lifted {
  fl_lift lift;
  Bytes frame;
};
struct LiftedTrigger {
  fl_trigger_lift lift;
  Bytes trigger;
};

class Bench {
 public:
  struct Setup {
    source::MapSizes sizes{1024, 1 << 16, 1 << 14};
    std::uint16_t ports = 1;
    source::PortTraits traits{XDP_DROP};
    source::Hook hook = source::Hook::xdp;
  };
  Bench() : Bench(Setup{}) {}
  explicit Bench(const Setup& setup);
  ~Bench();

  std::uint32_t run(ByteView frame, std::uint16_t port = 0);  // the program's action
  // As an skb that is several segments; of Hook::tc alone.
  std::uint32_t run_super(ByteView frame, std::uint32_t gso_size, std::uint32_t gso_segs);
  // With only the first `linear` bytes in the driver's first buffer and the rest in fragments;
  // false if this kernel cannot lay out a test frame so (before 6.18).
  bool run_split(ByteView frame, std::uint32_t linear);
  source::Applied apply(const std::vector<source::FlowEntry>& entries);

  fl_port_counters port(std::uint16_t index = 0) const;
  fl_flow_counters flow(std::uint32_t slot) const;
  std::vector<Lifted> lifted();
  std::vector<LiftedTrigger> triggers();
  // No first fragment is remembered any more.
  void forget_fragments();
  // lifted() after one frame that must have been lifted once.
  Lifted lift_of(ByteView frame);
  source::FlowTable& table();
  int program_fd(std::uint16_t port = 0);
  int map_fd(const char* name) const;

 private:
  struct Loaded;
  static std::vector<std::unique_ptr<Loaded>>& idle();
  std::unique_ptr<Loaded> loaded_;
};

fl_flow_key key_of(std::string_view src, std::string_view dst, std::uint8_t protocol,
                   std::uint16_t sport = 0, std::uint16_t dport = 0);
fl_flow_key exact_mask();
fl_flow_key any_port_mask(bool any_sport, bool any_dport);
source::FlowEntry entry(const fl_flow_key& key, const fl_flow_key& mask, std::uint32_t slot,
                        std::uint64_t deadline_ns = kForever,
                        std::uint16_t snaplen = FL_SNAPLEN_HEADERS,
                        std::uint8_t direction = FL_FORWARD);
// The entry for packets.h's default TCP flow.
source::FlowEntry default_entry(std::uint32_t slot = 0, std::uint16_t snaplen = FL_SNAPLEN_HEADERS);

// Every sum that proto/flow.h promises; triggers_lifted are those that came off the ring.
void require_port_sums(const fl_port_counters& port, std::uint64_t triggers_lifted);
void require_flow_sums(const fl_flow_counters& flow);

}  // namespace fieldline
