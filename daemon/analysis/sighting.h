// SPDX-License-Identifier: Apache-2.0
// One packet at one vantage point: what the analysis keeps of a header record.
#pragma once

#include <array>
#include <cstdint>

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>

#include "analysis/packet.h"
#include "proto/digest.h"

namespace fieldline::analysis {

// Beside the low TCP flags. kCarriesTcp: it is of TCP, and carries payload.
enum ObservationFlag : std::uint8_t { kOptionsCut = 32, kHasTimestamp = 64, kCarriesTcp = 128 };

struct Observation {
  std::uint64_t digest = 0;
  std::uint64_t time = 0;           // ns, the sensor's clock
  std::uint32_t flow = UINT32_MAX;  // FlowTable's number
  std::uint32_t sequence = 0, ack = 0;
  std::uint32_t tsval = 0;  // kHasTimestamp
  std::uint16_t payload = 0;
  std::uint16_t ip_id = 0;   // 0: none
  std::uint16_t window = 0;  // as in the header, not scaled
  std::uint8_t flags = 0;
  std::uint8_t ttl = 0;

  // What it takes of the sequence space.
  std::uint32_t length() const {
    return payload + ((flags & kSyn) ? 1u : 0u) + ((flags & kFin) ? 1u : 0u);
  }
};
static_assert(sizeof(Observation) == 40);

// Its count is no atomic one: an analysis and the copies of it are one thread's.
struct SackList : boost::intrusive_ref_counter<SackList, boost::thread_unsafe_counter> {
  std::uint8_t count = 0;
  std::array<SackBlock, 4> blocks{};
};

// sacks: nullptr for most packets; shared, because reports of a running run work on a copy.
struct Sighting {
  Observation seen;
  boost::intrusive_ptr<const SackList> sacks;
  std::uint32_t tsecr = 0;                     // kHasTimestamp
  std::uint8_t window_scale = kNoWindowScale;  // of a SYN
  std::uint8_t rank = FL_SAMPLE_BITS_MAX;      // see fl_sample_rank()
};

// Whether a SYN opens a new connection on the addresses and ports of one that has begun.
constexpr bool begins_anew(const Observation& seen, bool started, bool has_syn, std::uint32_t syn) {
  return (seen.flags & kSyn) && started && !(has_syn && syn == seen.sequence);
}

Sighting sighting_of(const PacketInfo& packet, std::uint32_t flow, std::uint64_t digest,
                     std::uint64_t time);

}  // namespace fieldline::analysis
