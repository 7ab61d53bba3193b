// SPDX-License-Identifier: Apache-2.0
// What a TCP segment is known by where offloads are at work: not by its digest, which a
// super-packet has one of for all of its segments, but by what they leave alone.
//
// Linux (net/ipv4/tcp_offload.c). GSO gives every segment the acknowledgement, the window and the
// options of the whole; FIN and PSH stay with the last, CWR with the first; the IP id is counted up
// or stays (fixed id). GRO merges only what follows in sequence with the same acknowledgement,
// window, options and flags but for CWR, FIN and PSH, and is no longer than the first one; what is
// shorter, or has FIN or PSH, is the last. So gso_size cuts a super-packet where the wire's
// segments were cut, however others merged them. NICs that merge by themselves (LRO) may take the
// window of the last one.
#pragma once

#include <cstdint>
#include <vector>

#include "analysis/sighting.h"
#include "analysis/sip.h"

namespace fieldline::analysis {

// flow: that has taken what all segments of the flow have alike. tsval: 0 where there is none.
std::uint64_t wire_key(Sip flow, std::uint32_t sequence, std::uint32_t payload, std::uint8_t flags,
                       std::uint32_t ack, std::uint32_t tsval);

// 0: no TCP with payload (nothing else is merged), or its options are cut off.
std::uint64_t wire_key(const Observation& seen);

// The flows of one direction that are joined so: those of which some point showed a super-packet.
// The others keep the digest, which tells apart more (the IP id, the window, SACK blocks).
class WireFlows {
 public:
  // False: it is one already.
  bool add(std::uint32_t flow);
  bool has(std::uint32_t flow) const { return all_ || (flow < flows_.size() && flows_[flow]); }
  // What the packet is known by here.
  std::uint64_t name(const Observation& seen) const {
    return has(seen.flow) ? renamed(seen) : seen.digest;
  }

 private:
  // To go over, a flow costs a look at all that is held: behind so many all the rest goes with it.
  static constexpr std::size_t kMost = 64;

  static std::uint64_t renamed(const Observation& seen);

  std::vector<bool> flows_;
  std::size_t count_ = 0;
  bool all_ = false;
};

}  // namespace fieldline::analysis
