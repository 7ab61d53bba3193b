// SPDX-License-Identifier: Apache-2.0
// One section between two vantage points: joins their sightings packet by packet, and says what is
// left over.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "analysis/flows.h"
#include "analysis/gaps.h"
#include "analysis/in_order.h"
#include "analysis/path.h"
#include "analysis/pieces.h"
#include "analysis/sighting.h"

namespace fieldline::analysis {

// A packet may be called lost only when the other side has shown a packet of more than this later.
constexpr std::uint64_t kGraceNs = 1'000'000'000;
// How exactly a report's time tells when the classifier began or ceased to look.
constexpr std::uint64_t kEdgeNs = 100'000'000;
// Delays of a section from which the percentiles are taken; beyond it a uniform sample (reservoir)
// of that size.
constexpr std::size_t kDelaySamples = 262'144;
// Lost packets that are listed, and packets that are kept until a report decides about them; more
// are counted.
constexpr std::size_t kListedMax = 65'536;

// When a vantage point was looking, by its own clock; without `started` or `ended`: as long as it
// is asked about.
struct Watch {
  std::optional<std::uint64_t> started_ns, ended_ns;
  bool final = false;            // what it saw is known to its end
  bool drained = false;          // nothing more will come from there; a file may still be read
  std::uint8_t sample_bits = 0;  // 1 of 2^sample_bits packets is recorded there (proto/digest.h)

  // Whether what would still have followed an event of this time has been seen; newest: its last
  // record.
  bool settled(std::uint64_t time_ns, std::uint64_t newest_ns) const;
};

// A stretch of a vantage point's time, by its own clock.
struct Stretch {
  bool any = false;
  std::uint64_t first = 0, last = 0;

  void include(std::uint64_t time);
  bool holds(std::uint64_t time) const { return any && time >= first && time <= last; }
};

// blind: when this side may have seen what cannot be joined (records that came when what they
// belong to had been judged, packets that stand for several); nothing is called lost or surplus
// because of what was, or was not, seen then. off: when it was not looking in between.
struct Side {
  Watch watch;
  Stretch blind;
  std::span<const Gap> off = {};

  bool was_off(std::uint64_t time) const { return was_off(time, time); }
  bool was_off(std::uint64_t from_ns, std::uint64_t until_ns) const;  // at some time of these
};

using Times = std::span<const std::uint64_t>;

PacketName packet_name(const Observation& seen);
LostPacket lost_packet(const Observation& seen, const FlowTable& flows, bool reverse);

class SectionMatcher {
 public:
  // All sightings of one digest at both ends, each in order of time. beyond: the most that one of
  // the points further down the path has of it: what they saw was not lost, whatever the downstream
  // point missed. rank: the packet's (proto/digest.h); at an end that samples with more bits nobody
  // looked for it.
  void join(const Observation& packet, std::uint8_t rank, Times up, Times down, std::size_t beyond);
  // Everything downstream that is older is here: judges order up to it.
  void order_until(std::uint64_t down_time);
  // Decides what no later record can change.
  void decide(const Side& up, const Side& down, const FlowTable& flows, bool reverse);

  // Before the point at this section's end was known, packets were joined past it.
  void count_as_undecided(const SectionMatcher& whole);

  // Everything of `section` but its place and its packets; to be called on the last of its life.
  void fill(const Side& up, const Side& down, const FlowTable& flows, bool reverse,
            Section& section);

 private:
  struct Passed {
    std::uint64_t up_time, down_time;
    std::uint32_t flow;

    std::uint64_t time() const { return down_time; }
  };
  struct Suspect {
    Observation packet;
    bool beyond;  // a later point has it
    std::uint8_t rank;
  };
  struct Surplus {
    Piece piece;
    std::uint64_t time;
    bool copy;
    std::uint8_t rank;
    bool recut = false;  // what came upstream in other pieces
  };

  void join_many(const Observation& packet, std::uint8_t rank, Times up, Times down,
                 std::size_t beyond);
  void matched(const Observation& packet, std::uint64_t up, std::uint64_t down);
  void join_uneven(Times up, Times down, std::vector<bool>& left_up,
                   std::vector<bool>& left_down) const;
  void suspect(const Observation& packet, std::uint8_t rank, std::uint64_t time, bool beyond);
  void surplus(const Observation& packet, std::uint64_t time, std::uint8_t rank, bool copy);
  void doubt_recut(std::uint64_t shift);
  bool may_be_recut(const Suspect& suspect, std::uint64_t shift) const;
  void count(const Surplus& packet, bool judged);
  void set_aside(const Side& up, const Side& down);
  void doubt(const Observation& packet);
  void make_room();
  bool joins(std::uint32_t flow) const;
  void convict(const Suspect& suspect, bool was_off, const FlowTable& flows, bool reverse);
  void sample(const DelaySample& sample);
  std::int64_t typical() const;

  DelaySeries series_;
  std::vector<DelaySample> delays_;
  std::uint64_t random_ = 1;          // a fixed seed: the same records give the same report
  std::vector<std::int64_t> recent_;  // ring of the last delays
  std::uint64_t joined_ = 0;
  std::int64_t least_ = 0;
  InOrder<Passed> passed_;
  std::vector<std::uint64_t> newest_;  // by flow: the latest time upstream of what has come
  std::uint64_t reordered_ = 0;
  Stretch from_up_, from_down_;  // times of joined packets
  std::vector<Suspect> suspects_;
  std::vector<Surplus> surplus_;
  Stretch unkept_;       // downstream: pieces of streams for which there was no room among them
  bool packed_ = false;  // making room gave hardly any, and nothing has been decided since
  std::vector<bool> joined_flows_;
  std::vector<LostPacket> listed_;
  std::vector<PacketName> doubted_;  // the undecided, as far as they are kept
  std::uint64_t lost_ = 0, undecided_ = 0, unseen_ = 0, appeared_ = 0, duplicated_ = 0;
  std::uint64_t unsampled_ = 0, recut_ = 0;
};

}  // namespace fieldline::analysis
