// SPDX-License-Identifier: Apache-2.0
#include "analysis/matcher.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <random>

namespace fieldline::analysis {
namespace {

using Positions = std::span<const std::uint32_t>;

// Above this many combinations, copies of one digest are joined first to first.
constexpr std::size_t kAlignMax = 4096;

struct Pairing {
  std::vector<std::uint32_t> partner;  // by position downstream: 1 + position upstream, 0 for none
  std::vector<std::uint32_t> only_up;  // without a partner downstream
  std::vector<std::uint32_t> only_down,
      copies;  // downstream: digest never upstream; more often than upstream
  std::vector<std::pair<Positions, Positions>> uneven;  // both sides, not equally often
};

std::int64_t delay_of(const Observation& up, const Observation& down) {
  return static_cast<std::int64_t>(down.time - up.time);
}

Pairing pair_digests(const Track& up, const Track& down) {
  Pairing pairing;
  pairing.partner.assign(down.size(), 0);
  for_each_digest(up, down, [&](Positions at_up, Positions at_down) {
    if (at_up.size() == at_down.size()) {
      for (std::size_t i = 0; i < at_up.size(); ++i) pairing.partner[at_down[i]] = at_up[i] + 1;
    } else if (at_down.empty()) {
      pairing.only_up.insert(pairing.only_up.end(), at_up.begin(), at_up.end());
    } else if (at_up.empty()) {
      pairing.only_down.insert(pairing.only_down.end(), at_down.begin(), at_down.end());
    } else {
      pairing.uneven.emplace_back(at_up, at_down);
    }
    return true;
  });
  return pairing;
}

std::vector<std::int64_t> delays_of(const Track& up, const Track& down, const Pairing& pairing) {
  std::vector<std::int64_t> delays;
  std::minstd_rand random(1);  // a fixed seed: the same records give the same report
  std::uint64_t count = 0;
  for (std::uint32_t at = 0; at < down.size(); ++at) {
    if (pairing.partner[at] == 0) continue;
    const std::int64_t delay = delay_of(up[pairing.partner[at] - 1], down[at]);
    if (++count <= kDelaySamples) {
      delays.push_back(delay);
    } else if (const auto slot = std::uniform_int_distribution<std::uint64_t>(0, count - 1)(random);
               slot < kDelaySamples) {
      delays[slot] = delay;
    }
  }
  return delays;
}

std::int64_t percentile(std::vector<std::int64_t>& delays, unsigned percent) {
  const std::size_t rank = (delays.size() * percent + 99) / 100;  // nearest rank
  const auto at = delays.begin() + static_cast<std::ptrdiff_t>(rank ? rank - 1 : 0);
  std::nth_element(delays.begin(), at, delays.end());
  return *at;
}

// Which of the longer side's entries get no partner: order is kept, and the sum of |delay -
// typical| is smallest. cost[i][j]: the first j of `many` with the first i of `few` joined. True
// for the chosen ones of `many`.
template <class Cost>
std::vector<bool> align(std::size_t few, std::size_t many, Cost cost_of) {
  std::vector<bool> chosen(many, false);
  if (few * many > kAlignMax) {
    std::fill_n(chosen.begin(), few, true);
    return chosen;
  }
  constexpr double kNever = std::numeric_limits<double>::infinity();
  const std::size_t width = many + 1;
  std::vector<double> cost((few + 1) * width, kNever);
  std::fill_n(cost.begin(), width, 0.0);
  for (std::size_t i = 1; i <= few; ++i) {
    for (std::size_t j = i; j <= many; ++j) {
      cost[i * width + j] =
          std::min(cost[i * width + j - 1], cost[(i - 1) * width + j - 1] + cost_of(i - 1, j - 1));
    }
  }
  for (std::size_t i = few, j = many; i > 0; --j) {
    if (j > i && cost[i * width + j] == cost[i * width + j - 1]) continue;
    chosen[j - 1] = true;
    --i;
  }
  return chosen;
}

// Identical digests that differ in number (IPv6 retransmissions, network duplicates): joins those
// whose delay is most like the section's.
void pair_uneven(const Track& up, const Track& down, std::int64_t typical, Pairing& pairing) {
  for (const auto& [at_up, at_down] : pairing.uneven) {
    const bool more_up = at_up.size() > at_down.size();
    const Positions few = more_up ? at_down : at_up, many = more_up ? at_up : at_down;
    const auto chosen = align(few.size(), many.size(), [&](std::size_t i, std::size_t j) {
      const auto delay =
          more_up ? delay_of(up[many[j]], down[few[i]]) : delay_of(up[few[i]], down[many[j]]);
      return std::abs(static_cast<double>(delay) - static_cast<double>(typical));
    });
    std::size_t i = 0;
    for (std::size_t j = 0; j < many.size(); ++j) {
      if (!chosen[j]) {
        (more_up ? pairing.only_up : pairing.copies).push_back(many[j]);
      } else if (more_up) {
        pairing.partner[few[i++]] = many[j] + 1;
      } else {
        pairing.partner[many[j]] = few[i++] + 1;
      }
    }
  }
}

// Whether a packet that only one side showed may be judged: the other side was looking when it
// should have passed there, and what it saw then has been reported. Times of `here` by this side's
// clock; shift: to the other's.
struct Horizon {
  bool any = false;
  std::uint64_t first = 0, last = 0;  // this side's times of matched packets

  void include(std::uint64_t time) {
    first = any ? std::min(first, time) : time;
    last = any ? std::max(last, time) : time;
    any = true;
  }

  bool judges(std::uint64_t here, std::int64_t shift, const Watch& other, bool final) const {
    const std::uint64_t there = here + static_cast<std::uint64_t>(shift);
    const bool begun =
        (any && here >= first) || !other.started_ns || there >= *other.started_ns + kEdgeNs;
    if (!begun) return false;
    if (any && here + kGraceNs < last) return true;
    if (!final) return false;
    return (any && here <= last) || !other.ended_ns || there + kEdgeNs <= *other.ended_ns;
  }
};

class Judge {
 public:
  Judge(const Matchable& up, const Matchable& down, const Pairing& pairing, std::int64_t typical)
      : up_(up), down_(down), typical_(typical), final_(up.watch.final && down.watch.final) {
    for (std::uint32_t at = 0; at < down.track->size(); ++at) {
      if (pairing.partner[at] == 0) continue;
      from_up_.include((*up.track)[pairing.partner[at] - 1].time);
      from_down_.include((*down.track)[at].time);
    }
  }

  bool lost(std::uint32_t at) const {
    return from_up_.judges((*up_.track)[at].time, typical_, down_.watch, final_);
  }
  bool surplus(std::uint32_t at) const {
    return from_down_.judges((*down_.track)[at].time, -typical_, up_.watch, final_);
  }

 private:
  const Matchable &up_, &down_;
  std::int64_t typical_;
  bool final_;
  Horizon from_up_, from_down_;
};

// RFC 4737 per flow: a packet is reordered if one that was upstream behind it came downstream
// before it.
std::uint64_t count_reordered(const Track& up, const Track& down, const Pairing& pairing,
                              const FlowTable& flows) {
  std::vector<std::uint32_t> newest(flows.size() + 1, 0);
  std::uint64_t reordered = 0;
  for (std::uint32_t at = 0; at < down.size(); ++at) {
    const std::uint32_t partner = pairing.partner[at];
    if (partner == 0) continue;
    const std::uint32_t flow = up[partner - 1].flow;
    std::uint32_t& last = newest[flow == FlowTable::kNone ? flows.size() : flow];
    if (partner < last) {
      ++reordered;
    } else {
      last = partner;
    }
  }
  return reordered;
}

bool seen_beyond(const Observation& packet, std::size_t here,
                 std::span<const Track* const> beyond) {
  return std::any_of(beyond.begin(), beyond.end(),
                     [&](const Track* track) { return track->of(packet.digest).size() > here; });
}

}  // namespace

bool Watch::settled(std::uint64_t time_ns, std::uint64_t newest_ns) const {
  if (final) return !ended_ns || time_ns + kGraceNs < *ended_ns;
  return time_ns + kGraceNs < newest_ns;
}

LostPacket lost_packet(const Observation& seen, const FlowTable& flows, bool reverse) {
  LostPacket lost;
  lost.timestamp_ns = seen.time;
  lost.digest = seen.digest;
  lost.ip_id = seen.ip_id;
  lost.sequence = seen.sequence;
  lost.payload = seen.payload;
  if (seen.flow != FlowTable::kNone) {
    const FlowKey& key = flows.key(seen.flow);
    lost.protocol = key.protocol;
    lost.sport = reverse ? key.port_b : key.port_a;
    lost.dport = reverse ? key.port_a : key.port_b;
  }
  return lost;
}

void match_section(const Matchable& up, const Matchable& down, std::span<const Track* const> beyond,
                   const FlowTable& flows, bool reverse, Section& section) {
  const Track &before = *up.track, &after = *down.track;
  Pairing pairing = pair_digests(before, after);
  auto delays = delays_of(before, after, pairing);
  const std::int64_t typical = delays.empty() ? 0 : percentile(delays, 50);
  if (!pairing.uneven.empty()) {
    pair_uneven(before, after, typical, pairing);
    delays = delays_of(before, after, pairing);
  }
  section.packets = before.size();
  section.reordered = count_reordered(before, after, pairing, flows);
  for (const std::uint32_t partner : pairing.partner) section.delay.samples += partner != 0;
  if (!delays.empty()) {
    section.delay.min_ns = *std::min_element(delays.begin(), delays.end());
    section.delay.p50_ns = percentile(delays, 50);
    section.delay.p99_ns = percentile(delays, 99);
  }
  const Judge judge(up, down, pairing, typical);
  std::sort(pairing.only_up.begin(), pairing.only_up.end());
  for (const std::uint32_t at : pairing.only_up) {
    if (!beyond.empty() && seen_beyond(before[at], after.of(before[at].digest).size(), beyond)) {
      ++section.unseen;
    } else if (judge.lost(at)) {
      section.lost_packets.push_back(lost_packet(before[at], flows, reverse));
    } else {
      ++section.undecided;
    }
  }
  section.lost = section.lost_packets.size();
  for (const std::uint32_t at : pairing.only_down) section.appeared += judge.surplus(at);
  for (const std::uint32_t at : pairing.copies) section.duplicated += judge.surplus(at);
}

}  // namespace fieldline::analysis
