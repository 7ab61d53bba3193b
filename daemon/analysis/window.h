// SPDX-License-Identifier: Apache-2.0
// The packets that are under way: what each vantage point has shown of them, joined by digest (or
// what stands for it, wire_key.h), until no record that is still to come can change it. This is all
// that is held of a run's packets.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <boost/container/small_vector.hpp>

#include "analysis/announce.h"
#include "analysis/digest_table.h"
#include "analysis/in_order.h"
#include "analysis/sighting.h"
#include "analysis/wire_key.h"

namespace fieldline::analysis {

// Where (the lane: one vantage point in one direction) and when.
struct Sight {
  std::uint64_t time = 0;
  std::uint32_t lane = 0;
  std::uint8_t ttl = 0;
  std::uint8_t rank = 0;  // the packet's
};

// All sightings of one digest in the window, in order of arrival. More than one at a lane: copies,
// or retransmissions that look alike. None: another bundle has them now.
struct Bundle {
  Observation packet;  // as first met
  boost::container::small_vector<Sight, 4> sights;
};

// Per lane: what its clock and its place on the path add to the time at the first vantage point.
using Shifts = std::span<const std::int64_t>;

std::int64_t at_start(std::uint64_t time, std::int64_t shift);  // ns; saturates

class Window {
 public:
  // shift: the lane's. The digest is what wire_flows() name it by.
  void add(std::uint32_t lane, std::int64_t shift, const Observation& seen, std::uint8_t rank);
  std::size_t sights() const { return sights_; }
  // There are several lanes: until then nothing can join, and sightings only wait in line.
  void begin_to_join();
  // The flow's segments are joined by wire key from now on, those that are held too. False: they
  // were before. lost(lane, time): a sighting that cannot be, for want of its options.
  template <class Lost>
  bool go_over(std::uint32_t flow, Lost lost) {
    if (!wire_flows_.add(flow)) return false;
    settle();
    alone_.for_each([this](Met& met) { met.seen.digest = wire_flows_.name(met.seen); });
    queue_.for_each([&](Due& due) {
      Bundle& bundle = bundles_[due.slot];
      if (!wire_flows_.has(bundle.packet.flow) || !(bundle.packet.flags & kCarriesTcp)) return;
      if (bundle.packet.flags & kOptionsCut) {
        for (const Sight& sight : bundle.sights) lost(sight.lane, sight.time);
      }
      rename(due.slot);
    });
    return true;
  }
  const WireFlows& wire_flows() const { return wire_flows_; }

  // Gives and forgets the bundles whose newest sighting is older than the horizon (at_start); what
  // one lane alone has shown is only forgotten.
  template <class Visit>
  void drain(std::int64_t horizon, Shifts shifts, Visit visit) {
    settle();
    alone_.drain(horizon, [this](const Met&) { --sights_; });
    for (bool more = true; more;) {
      due_.clear();
      more = queue_.drain(
          horizon,
          [this](const Due& due) {
            due_.push_back(due.slot);
            announce(bundles_[due.slot]);
          },
          kBatch);
      for (const std::uint32_t slot : due_) table_.announce(bundles_[slot].packet.digest);
      for (const std::uint32_t slot : due_) conclude(slot, horizon, shifts, visit);
    }
    if (queue_.size() > 0) return;
    bundles_.clear();
    free_.clear();
  }

  // Of those that several lanes may have. After settle().
  template <class Visit>
  void for_each(Visit visit) const {
    queue_.for_each([&](const Due& due) { return visit(bundles_[due.slot]); });
  }
  // Files what was added last.
  void settle();

 private:
  static constexpr std::size_t kBundleMax = 64;
  // So many cache misses are waited for together.
  static constexpr std::size_t kBatch = 32;
  struct Due {
    std::int64_t due;  // not before this; at_start
    std::uint32_t slot;

    std::int64_t time() const { return due; }
  };
  struct Met {
    Observation seen;
    std::int64_t due;
    std::uint32_t lane;
    std::uint8_t rank;

    std::int64_t time() const { return due; }
  };

  template <class Visit>
  void conclude(std::uint32_t slot, std::int64_t horizon, Shifts shifts, Visit& visit) {
    if (bundles_[slot].sights.empty()) return free_.push_back(slot);
    const std::int64_t newest = newest_of(bundles_[slot], shifts);
    if (newest < horizon) {
      visit(static_cast<const Bundle&>(bundles_[slot]));
      return forget(slot);
    }
    // Met again and again: what is old of it goes, so that it does not grow without end.
    if (bundles_[slot].sights.size() > kBundleMax) {
      const Bundle older = split(bundles_[slot], horizon, shifts);
      if (!older.sights.empty()) visit(older);
    }
    queue_.push({newest, slot});
  }

  static std::int64_t newest_of(const Bundle& bundle, Shifts shifts);
  void file(const Met& met);
  std::uint32_t find(std::uint64_t digest) const;
  void rename(std::uint32_t slot);
  void forget(std::uint32_t slot);
  Bundle split(Bundle& bundle, std::int64_t horizon, Shifts shifts);

  bool joins_ = false;
  WireFlows wire_flows_;
  InOrder<Met> alone_;
  std::vector<Met> fresh_;  // at most kBatch, not yet filed
  DigestTable table_;       // digest -> bundle
  std::vector<Bundle> bundles_;
  std::vector<std::uint32_t> free_;
  InOrder<Due> queue_;              // each bundle once
  std::vector<std::uint32_t> due_;  // while drained
  std::size_t sights_ = 0;
};

}  // namespace fieldline::analysis
