// SPDX-License-Identifier: Apache-2.0
// The packets that are under way: what each vantage point has shown of them, joined by digest,
// until no record that is still to come can change it. This is all that is held of a run's packets.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include <boost/container/small_vector.hpp>
#include <boost/unordered/unordered_flat_map.hpp>

#include "analysis/sighting.h"

namespace fieldline::analysis {

// Where (the lane: one vantage point in one direction) and when.
struct Sight {
  std::uint64_t time = 0;
  std::uint32_t lane = 0;
  std::uint8_t ttl = 0;
};

// All sightings of one digest in the window, in order of arrival. More than one at a lane: copies,
// or retransmissions that look alike.
struct Bundle {
  Observation packet;  // as first met
  boost::container::small_vector<Sight, 4> sights;
};

// Per lane: what its clock and its place on the path add to the time at the first vantage point.
using Shifts = std::span<const std::int64_t>;

std::int64_t at_start(std::uint64_t time, std::int64_t shift);  // ns; saturates

class Window {
 public:
  // shift: the lane's.
  void add(std::uint32_t lane, std::int64_t shift, const Observation& seen);
  std::size_t sights() const { return sights_; }

  // Gives and forgets the bundles whose newest sighting is older than the horizon (at_start).
  template <class Visit>
  void drain(std::int64_t horizon, Shifts shifts, Visit visit) {
    while (!queue_.empty() && queue_.front().due < horizon) {
      std::pop_heap(queue_.begin(), queue_.end());
      const std::uint32_t slot = queue_.back().slot;
      queue_.pop_back();
      const std::int64_t newest = newest_of(bundles_[slot], shifts);
      if (newest < horizon) {
        visit(take(slot));
        continue;
      }
      // Met again and again: what is old of it goes, so that it does not grow without end.
      if (bundles_[slot].sights.size() > kBundleMax) {
        const Bundle older = split(bundles_[slot], horizon, shifts);
        if (!older.sights.empty()) visit(older);
      }
      queue(slot, newest);
    }
  }

  template <class Visit>
  void for_each(Visit visit) const {
    for (const Due& due : queue_) {
      if (!visit(bundles_[due.slot])) return;
    }
  }

 private:
  static constexpr std::size_t kBundleMax = 64;
  struct Due {
    std::int64_t due;  // not before this; at_start
    std::uint32_t slot;

    bool operator<(const Due& other) const { return due > other.due; }
  };

  static std::int64_t newest_of(const Bundle& bundle, Shifts shifts);
  void queue(std::uint32_t slot, std::int64_t due);
  Bundle take(std::uint32_t slot);
  Bundle split(Bundle& bundle, std::int64_t horizon, Shifts shifts);

  boost::unordered_flat_map<std::uint64_t, std::uint32_t> slots_;  // digest -> bundle
  std::vector<Bundle> bundles_;
  std::vector<std::uint32_t> free_;
  std::vector<Due> queue_;  // each bundle once; a heap
  std::size_t sights_ = 0;
};

}  // namespace fieldline::analysis
