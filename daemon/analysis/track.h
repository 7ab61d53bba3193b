// SPDX-License-Identifier: Apache-2.0
// What one vantage point saw of one direction: compact entries in order of time, and the same by
// digest.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "analysis/flows.h"

namespace fieldline::analysis {

enum ObservationFlag : std::uint8_t {
  kHasTimestamp = 64,
  kHasSack = 128
};  // beside the low TCP flags

// One header record; 40 bytes, and 4 in the order by digest, are what a record costs for the whole
// run. `extra` is the TCP timestamp or, with kHasSack, the number of a list of SACK blocks (a
// packet with SACK blocks keeps no timestamp: only those that open and fill holes need one).
struct Observation {
  std::uint64_t digest = 0;
  std::uint64_t time = 0;  // ns, the sensor's clock
  std::uint32_t flow = FlowTable::kNone;
  std::uint32_t sequence = 0, ack = 0;
  std::uint32_t extra = 0;
  std::uint16_t payload = 0;
  std::uint16_t ip_id = 0;  // 0: none
  std::uint8_t flags = 0;
  std::uint8_t ttl = 0;

  // What it takes of the sequence space.
  std::uint32_t length() const {
    return payload + ((flags & kSyn) ? 1u : 0u) + ((flags & kFin) ? 1u : 0u);
  }
};
static_assert(sizeof(Observation) == 40);

struct SackList {
  std::uint8_t count = 0;
  std::array<SackBlock, 4> blocks{};
};

class Track {
 public:
  static constexpr std::size_t kMax = UINT32_MAX - 1;  // positions are 32 bits

  void add(const PacketInfo& packet, std::uint32_t flow, std::uint64_t digest, std::uint64_t time);
  void add_all(const Track& other);

  // Puts what was added since the last call in order; the accessors below are valid after it. Costs
  // the new entries' sort and one merge, unless an entry is older than the newest before it (then
  // all is sorted again).
  void settle();

  const std::vector<Observation>& by_time() const { return seen_; }
  const std::vector<std::uint32_t>& by_digest() const { return order_; }
  const Observation& operator[](std::uint32_t position) const { return seen_[position]; }
  std::size_t size() const { return seen_.size(); }
  const SackList& sacks(const Observation& seen) const { return sacks_[seen.extra]; }
  // The positions of one digest, in order of time.
  std::span<const std::uint32_t> of(std::uint64_t digest) const;

 private:
  std::vector<Observation> seen_;
  std::vector<std::uint32_t> order_;
  std::vector<SackList> sacks_;
  std::size_t settled_ = 0;
};

// Calls visit(positions in a, positions in b) for each digest of either, each in order of time;
// until it says false.
template <class Visit>
void for_each_digest(const Track& a, const Track& b, Visit visit) {
  const auto& left = a.by_digest();
  const auto& right = b.by_digest();
  std::size_t i = 0, j = 0;
  const auto run_end = [](const Track& track, const std::vector<std::uint32_t>& order,
                          std::size_t from, std::uint64_t digest) {
    while (from < order.size() && track[order[from]].digest == digest) ++from;
    return from;
  };
  while (i < left.size() || j < right.size()) {
    const bool has_left = i < left.size(), has_right = j < right.size();
    std::uint64_t digest = has_left ? a[left[i]].digest : b[right[j]].digest;
    if (has_left && has_right && b[right[j]].digest < digest) digest = b[right[j]].digest;
    const std::size_t i_end = run_end(a, left, i, digest), j_end = run_end(b, right, j, digest);
    using Positions = std::span<const std::uint32_t>;
    if (!visit(Positions(left).subspan(i, i_end - i), Positions(right).subspan(j, j_end - j)))
      return;
    i = i_end;
    j = j_end;
  }
}

}  // namespace fieldline::analysis
