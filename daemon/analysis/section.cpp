// SPDX-License-Identifier: Apache-2.0
#include "analysis/section.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "analysis/sequence.h"
#include "analysis/wire_key.h"

namespace fieldline::analysis {
namespace {

// Above this many combinations, copies of one digest are joined first to first.
constexpr std::size_t kAlignMax = 4096;
constexpr std::size_t kRecent = 255;
// Making room looks at all: what it gives must be worth that.
constexpr std::size_t kRoomLeast = kListedMax / 64;

std::int64_t delay_in(std::int64_t delay) {
  return delay;
}
std::int64_t delay_in(const DelaySample& sample) {
  return sample.delay_ns;
}

template <class T>
std::int64_t percentile(std::vector<T>& delays, unsigned percent) {
  const std::size_t rank = (delays.size() * percent + 99) / 100;  // nearest rank
  const auto at = delays.begin() + static_cast<std::ptrdiff_t>(rank ? rank - 1 : 0);
  std::nth_element(delays.begin(), at, delays.end(),
                   [](const T& a, const T& b) { return delay_in(a) < delay_in(b); });
  return delay_in(*at);
}

// Which of the longer side's entries get no partner: order is kept, and the sum of the costs is
// smallest. cost[i][j]: the first j of `many` with the first i of `few` joined. True for the chosen
// ones of `many`.
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

// splitmix64 (Steele, Lea, Flood 2014), scaled by a product instead of a division.
std::uint64_t below(std::uint64_t bound, std::uint64_t& state) {
  std::uint64_t value = state += 0x9e3779b97f4a7c15;
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
  value = (value ^ value >> 27) * 0x94d049bb133111eb;
  value ^= value >> 31;
  return static_cast<std::uint64_t>(static_cast<unsigned __int128>(value) * bound >> 64);
}

std::int64_t delay_of(std::uint64_t up, std::uint64_t down) {
  return static_cast<std::int64_t>(down - up);
}

// Whether a packet that only one side showed may be judged: both sides show some packets alike, the
// other side was looking when it should have passed there, and what it saw then has been reported.
// `here` by this side's clock, `there` by the other's.
struct Bounds {
  const Stretch& joined;  // this side's times
  const Side &own, &other;
  bool final;  // nothing more comes from either side

  bool begun(std::uint64_t here, std::uint64_t there) const {
    if (joined.any && here >= joined.first) return true;
    return other.watch.started_ns && there >= *other.watch.started_ns + kEdgeNs;
  }
  bool passed(std::uint64_t here) const { return joined.any && here + kGraceNs < joined.last; }
  bool judges(std::uint64_t here, std::uint64_t there) const {
    if (!joined.any || !begun(here, there)) return false;
    if (own.blind.holds(here) || other.blind.holds(there)) return false;
    if (passed(here)) return true;
    if (!final) return false;
    return here <= joined.last || !other.watch.ended_ns || there + kEdgeNs <= *other.watch.ended_ns;
  }
};

}  // namespace

bool Watch::settled(std::uint64_t time_ns, std::uint64_t newest_ns) const {
  if (final) return !ended_ns || time_ns + kGraceNs < *ended_ns;
  return time_ns + kGraceNs < newest_ns;
}

bool Side::was_off(std::uint64_t from_ns, std::uint64_t until_ns) const {
  return std::any_of(off.begin(), off.end(), [=](const Gap& gap) {
    return until_ns + kEdgeNs >= gap.from_ns &&
           (!gap.until_ns || from_ns <= *gap.until_ns + kEdgeNs);
  });
}

void Stretch::include(std::uint64_t time) {
  first = any ? std::min(first, time) : time;
  last = any ? std::max(last, time) : time;
  any = true;
}

PacketName packet_name(const Observation& seen) {
  return {seen.digest, wire_key(seen), seen.flow};
}

LostPacket lost_packet(const Observation& seen, const FlowTable& flows, bool reverse) {
  LostPacket lost{packet_name(seen)};
  lost.timestamp_ns = seen.time;
  lost.ip_id = seen.ip_id;
  lost.sequence = seen.sequence;
  lost.payload = seen.payload;
  lost.ack = seen.ack;
  if (seen.flow != FlowTable::kNone) {
    const FlowKey& key = flows.key(seen.flow);
    lost.protocol = key.protocol;
    lost.sport = reverse ? key.port_b : key.port_a;
    lost.dport = reverse ? key.port_a : key.port_b;
  }
  return lost;
}

void SectionMatcher::join(const Observation& packet, std::uint8_t rank, Times up, Times down,
                          std::size_t beyond) {
  if (up.size() == 1 && down.size() == 1) return matched(packet, up[0], down[0]);
  join_many(packet, rank, up, down, beyond);
}

void SectionMatcher::join_many(const Observation& packet, std::uint8_t rank, Times up, Times down,
                               std::size_t beyond) {
  std::vector<bool> left_up(up.size(), down.empty()), left_down(down.size(), up.empty());
  if (!up.empty() && !down.empty() && up.size() != down.size())
    join_uneven(up, down, left_up, left_down);
  for (std::size_t i = 0, j = 0; i < up.size() && j < down.size();) {
    if (left_up[i]) {
      ++i;
    } else if (left_down[j]) {
      ++j;
    } else {
      matched(packet, up[i++], down[j++]);
    }
  }
  for (std::size_t i = 0; i < up.size(); ++i) {
    if (left_up[i]) suspect(packet, rank, up[i], beyond > down.size());
  }
  for (std::size_t j = 0; j < down.size(); ++j) {
    if (left_down[j]) surplus(packet, down[j], rank, !up.empty());
  }
}

// Identical digests that differ in number (IPv6 retransmissions, network duplicates): joins those
// whose delay is most like the section's.
void SectionMatcher::join_uneven(Times up, Times down, std::vector<bool>& left_up,
                                 std::vector<bool>& left_down) const {
  const bool more_up = up.size() > down.size();
  const Times few = more_up ? down : up, many = more_up ? up : down;
  const std::int64_t usual = typical();
  const auto chosen = align(few.size(), many.size(), [&](std::size_t i, std::size_t j) {
    const auto delay = more_up ? delay_of(many[j], few[i]) : delay_of(few[i], many[j]);
    return std::abs(static_cast<double>(delay) - static_cast<double>(usual));
  });
  for (std::size_t j = 0; j < many.size(); ++j) (more_up ? left_up : left_down)[j] = !chosen[j];
}

void SectionMatcher::matched(const Observation& packet, std::uint64_t up, std::uint64_t down) {
  sample({up, delay_of(up, down)});
  from_up_.include(up);
  from_down_.include(down);
  passed_.push({up, down, packet.flow});
  if (packet.flow == FlowTable::kNone) return;
  if (packet.flow >= joined_flows_.size()) joined_flows_.resize(packet.flow + std::size_t{1});
  joined_flows_[packet.flow] = true;
}

void SectionMatcher::sample(const DelaySample& sample) {
  const std::int64_t delay = sample.delay_ns;
  series_.add(sample);
  least_ = joined_ == 0 ? delay : std::min(least_, delay);
  if (recent_.size() < kRecent) {
    recent_.push_back(delay);
  } else {
    recent_[joined_ % kRecent] = delay;
  }
  if (++joined_ <= kDelaySamples) {
    delays_.push_back(sample);
  } else if (const std::uint64_t slot = below(joined_, random_); slot < kDelaySamples) {
    delays_[slot] = sample;
  }
}

std::int64_t SectionMatcher::typical() const {
  if (recent_.empty()) return 0;
  std::vector<std::int64_t> recent = recent_;
  return percentile(recent, 50);
}

void SectionMatcher::suspect(const Observation& packet, std::uint8_t rank, std::uint64_t time,
                             bool beyond) {
  if (suspects_.size() >= kListedMax) make_room();
  if (suspects_.size() >= kListedMax) return doubt(packet);
  suspects_.push_back({packet, beyond, rank});
  suspects_.back().packet.time = time;
}

void SectionMatcher::surplus(const Observation& packet, std::uint64_t time, std::uint8_t rank,
                             bool copy) {
  if (surplus_.size() >= kListedMax) make_room();
  const Piece piece = piece_of(packet);
  if (surplus_.size() < kListedMax) {
    surplus_.push_back({piece, time, copy, rank});
  } else if (piece.payload > 0 && !copy) {
    unkept_.include(time);
  }
}

// Its bytes may be in what was not kept.
bool SectionMatcher::may_be_recut(const Suspect& suspect, std::uint64_t shift) const {
  const std::uint64_t there = suspect.packet.time + shift;
  return unkept_.any && piece_of(suspect.packet).payload > 0 && there + kGraceNs >= unkept_.first &&
         there <= unkept_.last + kGraceNs;
}

// Bytes that came downstream in other pieces than they had upstream were not lost, nor are they
// new: a NIC's LRO hides where it put them together, a proxy cuts anew.
void SectionMatcher::doubt_recut(std::uint64_t shift) {
  if (suspects_.empty()) return;
  std::vector<Pieces::Entry> entries;
  for (std::uint32_t at = 0; at < surplus_.size(); ++at) {
    if (surplus_[at].piece.payload > 0 && !surplus_[at].copy)
      entries.push_back({surplus_[at].piece, surplus_[at].time - shift, at});
  }
  if (entries.empty()) return;
  const Pieces pieces(std::move(entries));
  std::erase_if(suspects_, [&](const Suspect& suspect) {
    const bool recut =
        pieces.hold_otherwise(piece_of(suspect.packet), suspect.packet.time, kGraceNs,
                              [this](std::uint32_t at) { surplus_[at].recut = true; });
    if (recut) doubt(suspect.packet);
    recut_ += recut;
    return recut;
  });
}

// What the other end did not record on purpose says nothing.
void SectionMatcher::set_aside(const Side& up, const Side& down) {
  if (down.watch.sample_bits > 0) {
    unsampled_ += std::erase_if(
        suspects_, [&](const Suspect& suspect) { return suspect.rank < down.watch.sample_bits; });
  }
  if (up.watch.sample_bits > 0) {
    std::erase_if(surplus_,
                  [&](const Surplus& packet) { return packet.rank < up.watch.sample_bits; });
  }
}

// What passed before any packet was seen at both ends waits for a report of when the other one
// began to look; it goes first.
void SectionMatcher::make_room() {
  if (packed_) return;
  const std::size_t before = suspects_.size() + surplus_.size();
  std::erase_if(suspects_, [this](const Suspect& suspect) {
    const bool early = !from_up_.any || suspect.packet.time < from_up_.first;
    if (early) doubt(suspect.packet);
    return early;
  });
  std::erase_if(surplus_, [this](const Surplus& packet) {
    return !from_down_.any || packet.time < from_down_.first;
  });
  packed_ = before - suspects_.size() - surplus_.size() < kRoomLeast;
}

void SectionMatcher::doubt(const Observation& packet) {
  ++undecided_;
  if (doubted_.size() < kListedMax) doubted_.push_back(packet_name(packet));
}

// Of a flow that only one end shows nothing is known: the other may not have been asked for it.
bool SectionMatcher::joins(std::uint32_t flow) const {
  return flow == FlowTable::kNone || (flow < joined_flows_.size() && joined_flows_[flow]);
}

// It did not come: lost, or passed where, or when, the downstream point does not look.
void SectionMatcher::convict(const Suspect& suspect, bool was_off, const FlowTable& flows,
                             bool reverse) {
  if (suspect.beyond) {
    ++unseen_;
    return;
  }
  if (was_off) return doubt(suspect.packet);
  ++lost_;
  if (listed_.size() < kListedMax) listed_.push_back(lost_packet(suspect.packet, flows, reverse));
}

void SectionMatcher::count(const Surplus& packet, bool judged) {
  if (judged && !packet.recut) ++(packet.copy ? duplicated_ : appeared_);
}

// RFC 4737 per flow: a packet is reordered if one that was upstream behind it came downstream
// before it.
void SectionMatcher::order_until(std::uint64_t down_time) {
  passed_.drain(down_time, [this](const Passed& packet) {
    const std::size_t flow = packet.flow == FlowTable::kNone ? 0 : packet.flow + std::size_t{1};
    if (flow >= newest_.size()) newest_.resize(flow + 1);
    if (packet.up_time < newest_[flow]) {
      ++reordered_;
    } else {
      newest_[flow] = packet.up_time;
    }
  });
}

void SectionMatcher::decide(const Side& up, const Side& down, const FlowTable& flows,
                            bool reverse) {
  packed_ = false;
  set_aside(up, down);
  if (suspects_.empty() && surplus_.empty()) return;
  const auto shift = static_cast<std::uint64_t>(typical());
  const Bounds lost{from_up_, up, down, false}, more{from_down_, down, up, false};
  const auto is_due = [&](const Suspect& suspect) {
    const std::uint64_t time = suspect.packet.time;
    return lost.passed(time) && lost.begun(time, time + shift) && joins(suspect.packet.flow);
  };
  if (std::any_of(suspects_.begin(), suspects_.end(), is_due)) doubt_recut(shift);
  std::erase_if(suspects_, [&](const Suspect& suspect) {
    const std::uint64_t time = suspect.packet.time;
    if (!is_due(suspect)) return false;
    if (lost.judges(time, time + shift) && !may_be_recut(suspect, shift)) {
      convict(suspect, down.was_off(time + shift), flows, reverse);
    } else {
      doubt(suspect.packet);
    }
    return true;
  });
  // Later than suspects, which must find the pieces of theirs.
  std::erase_if(surplus_, [&](const Surplus& packet) {
    if (!more.passed(packet.time + kGraceNs)) return false;
    if (!more.begun(packet.time, packet.time - shift)) return false;
    const std::uint64_t there = packet.time - shift;
    count(packet, more.judges(packet.time, there) && !up.was_off(there));
    return true;
  });
}

void SectionMatcher::count_as_undecided(const SectionMatcher& whole) {
  undecided_ +=
      whole.joined_ + whole.unseen_ + whole.lost_ + whole.undecided_ + whole.suspects_.size();
}

void SectionMatcher::fill(const Side& up, const Side& down, const FlowTable& flows, bool reverse,
                          Section& section) {
  order_until(UINT64_MAX);
  set_aside(up, down);
  const bool final = up.watch.final && down.watch.final;
  const auto shift = static_cast<std::uint64_t>(typical());
  const Bounds lost{from_up_, up, down, final}, more{from_down_, down, up, final};
  doubt_recut(shift);
  for (const Suspect& suspect : suspects_) {
    const std::uint64_t there = suspect.packet.time + shift;
    if (joins(suspect.packet.flow) && lost.judges(suspect.packet.time, there) &&
        !may_be_recut(suspect, shift)) {
      convict(suspect, down.was_off(there), flows, reverse);
    } else {
      doubt(suspect.packet);
    }
  }
  for (const Surplus& packet : surplus_) {
    const std::uint64_t there = packet.time - shift;
    count(packet, more.judges(packet.time, there) && !up.was_off(there));
  }
  std::sort(listed_.begin(), listed_.end(), [](const LostPacket& a, const LostPacket& b) {
    if (a.timestamp_ns != b.timestamp_ns) return a.timestamp_ns < b.timestamp_ns;
    return before(a.sequence, b.sequence);
  });
  section.undecided_packets = std::move(doubted_);
  section.lost = lost_;
  section.lost_packets = std::move(listed_);
  section.reordered = reordered_;
  section.duplicated = duplicated_;
  section.appeared = appeared_;
  section.unseen = unseen_;
  section.undecided = undecided_;
  section.unsampled = unsampled_;
  section.recut = recut_;
  section.delay.samples = joined_;
  if (delays_.empty()) return;
  section.delay.min_ns = least_;
  section.delay.p50_ns = percentile(delays_, 50);
  section.delay.p99_ns = percentile(delays_, 99);
  section.delays = std::move(series_);
  section.delay_samples = std::move(delays_);
}

}  // namespace fieldline::analysis
