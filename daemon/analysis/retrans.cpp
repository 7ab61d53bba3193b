// SPDX-License-Identifier: Apache-2.0
#include "analysis/retrans.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <unordered_map>

#include "analysis/host_word.h"
#include "analysis/section.h"
#include "analysis/sequence.h"

namespace fieldline::analysis {
namespace {

// What a packet's time at the first point must be given to be its time at point `at`.
std::int64_t shift_of(const Direction& direction, std::size_t at) {
  std::int64_t shift = 0;
  for (std::size_t i = 1; i <= at; ++i) shift += direction.sections[i].delay.p50_ns;
  return shift;
}

// By how much a packet's way from the first point through a section may differ from another's.
std::int64_t spread_of(const Direction& direction, std::size_t section) {
  std::int64_t spread = 0;
  for (std::size_t i = 1; i <= section; ++i) {
    const Delay& delay = direction.sections[i].delay;
    spread += delay.p99_ns - delay.min_ns;
  }
  return spread;
}

// What became of a packet, by its digest; of packets that look alike, by when they left the first
// point.
class Fates {
 public:
  explicit Fates(const Direction& direction) {
    for (std::size_t at = 0; at < direction.sections.size(); ++at) {
      const Section& section = direction.sections[at];
      spreads_.push_back(spread_of(direction, at));
      const std::int64_t shift =
          section.upstream < 0 ? 0
                               : shift_of(direction, static_cast<std::size_t>(section.upstream));
      for (const LostPacket& packet : section.lost_packets) {
        if (packet.digest == 0) continue;
        lost_.emplace(
            packet.digest,
            Lost{at, static_cast<std::int64_t>(packet.timestamp_ns) - shift, packet.or_its_ack});
      }
      for (const PacketName& packet : section.undecided_packets)
        undecided_.emplace(packet.digest, at);
      const bool inner = section.upstream >= 0;  // a hole in front of all has no digest
      whole_ &= !inner || (section.lost.value_or(0) == section.lost_packets.size() &&
                           section.undecided == section.undecided_packets.size());
    }
  }

  struct Lost {
    std::size_t section;
    std::int64_t at_start;
    bool or_its_ack;
    bool in_doubt = false;  // it, or the one that looks like it
  };
  // Of the sending before. Each loss is taken once, and is of the sending that it is nearest to: of
  // two that look alike the later one may be the lost one.
  std::optional<Lost> take_lost(const Again& again) {
    const auto [begin, end] = lost_.equal_range(again.before.digest);
    if (begin == end) return std::nullopt;
    const auto time = static_cast<std::int64_t>(again.before.timestamp_ns);
    const auto nearest = std::min_element(begin, end, [&](const auto& a, const auto& b) {
      return std::abs(a.second.at_start - time) < std::abs(b.second.at_start - time);
    });
    Lost lost = nearest->second;
    if (again.packet.digest == again.before.digest) {
      const auto later = static_cast<std::int64_t>(again.packet.timestamp_ns);
      lost.in_doubt = (later - time) / 2 <= spreads_[lost.section];
      const bool is_laters = std::abs(lost.at_start - later) < std::abs(lost.at_start - time);
      if (is_laters && !lost.in_doubt) return std::nullopt;
    }
    lost_.erase(nearest);
    return lost;
  }
  // Every packet that did not come to the last point is in here.
  bool whole() const { return whole_; }
  std::optional<std::size_t> undecided(std::uint64_t digest) const {
    const auto found = undecided_.find(digest);
    if (found == undecided_.end()) return std::nullopt;
    return found->second;
  }

 private:
  std::vector<std::int64_t> spreads_;  // by section
  std::unordered_multimap<std::uint64_t, Lost> lost_;
  std::unordered_map<std::uint64_t, std::size_t> undecided_;
  bool whole_ = true;
};

class Judge {
 public:
  Judge(const PathReport& path, bool reverse)
      : data_(reverse ? path.reverse : path.forward),
        acks_(reverse ? path.forward : path.reverse),
        reverse_(reverse),
        gaps_(path.gaps),
        fates_(data_),
        told_(path.events, data_.again) {
    collect_lost_acks();
  }

  void judge_all(std::vector<Verdict>& verdicts) {
    if (data_.points.empty()) return;
    for (const Again& again : data_.again) {
      verdicts.push_back(judge(again));
      ask_host(verdicts.back());
    }
    // Holes at the first point: what filled them is the retransmission that was seen there.
    const Section& before = data_.sections.front();
    for (const LostPacket& hole : before.lost_packets) {
      if (hole.again_ns == 0) continue;
      Verdict verdict = of_filler(hole);
      convict(data_, 0, Cause::lost, verdict);
      ask_host(verdict);
      verdicts.push_back(std::move(verdict));
    }
    for (const LostPacket& hole : before.doubted_packets) {
      if (hole.again_ns == 0) continue;
      Verdict verdict = of_filler(hole);
      verdict.why = data_.points.front().name + " was off when the one before it may have passed";
      ask_host(verdict);
      verdicts.push_back(std::move(verdict));
    }
  }

 private:
  Verdict of_filler(const LostPacket& hole) const {
    Verdict verdict;
    verdict.again.packet = hole;
    verdict.again.packet.timestamp_ns = hole.again_ns;
    verdict.again.how = Again::How::unknown;
    verdict.reverse = reverse_;
    verdict.unseen_before = true;
    return verdict;
  }

  struct LostAck {
    const LostPacket* packet;
    std::size_t section;
    std::int64_t at_start;  // when data that passed the same place then left the first point
  };

  void collect_lost_acks() {
    for (std::size_t at = 1; at + 1 < acks_.sections.size(); ++at) {
      const Point& up = acks_.points[static_cast<std::size_t>(acks_.sections[at].upstream)];
      const auto same = std::find_if(
          data_.points.begin(), data_.points.end(),
          [&](const Point& one) { return one.sensor == up.sensor && one.domain == up.domain; });
      if (same == data_.points.end()) continue;
      const auto shift = shift_of(data_, static_cast<std::size_t>(same - data_.points.begin()));
      for (const LostPacket& packet : acks_.sections[at].lost_packets) {
        lost_acks_.push_back({&packet, at, static_cast<std::int64_t>(packet.timestamp_ns) - shift});
      }
    }
  }

  Verdict judge(const Again& again) {
    Verdict verdict;
    verdict.again = again;
    verdict.reverse = reverse_;
    if (again.acknowledged) {
      verdict.cause = Cause::spurious;
      verdict.why = "acknowledged at " + data_.points.front().name + " before";
    } else if (const auto lost = fates_.take_lost(again)) {
      judge_lost(*lost, verdict);
    } else if (const auto where = fates_.undecided(again.before.digest)) {
      verdict.section = *where;
      verdict.why = "the one before it: " + data_.sections[*where].note;
    } else if (!fates_.whole()) {
      verdict.why = "not of every packet is it known where it came to";
    } else if (!data_.sections.back().lost) {
      verdict.why = "no acknowledgements were seen at " + data_.points.back().name;
    } else if (const LostAck* ack = acknowledgement_lost(again)) {
      verdict.section = ack->section;
      convict(acks_, ack->section, Cause::ack_lost, verdict);
    } else if (const Point* point = off_between(again)) {
      verdict.why = point->name + " was off when the acknowledgement may have passed";
    } else {
      verdict.cause = Cause::spurious;
      verdict.why = "the one before it came to " + data_.points.back().name;
    }
    return verdict;
  }

  // A point of the acknowledgements' way. By its own clock, as gaps are told.
  const Point* off_between(const Again& again) const {
    for (const Point& point : acks_.points) {
      for (const Gap& gap : gaps_) {
        if (gap.what == Gap::What::blind && gap.until_ns && gap.sensor == point.sensor &&
            gap.from_ns <= again.packet.timestamp_ns && again.before.timestamp_ns <= *gap.until_ns)
          return &point;
      }
    }
    return nullptr;
  }

  // What the point behind a section dropped itself may be what is missing there.
  void judge_lost(const Fates::Lost& lost, Verdict& verdict) {
    verdict.section = lost.section;
    if (lost.in_doubt) {
      verdict.why =
          "it and the one before it look alike, and came too close to tell which was lost";
      return;
    }
    if (lost.or_its_ack) verdict.why = "it, or the acknowledgement of it";
    convict(data_, lost.section, Cause::lost, verdict);
  }

  static void convict(const Direction& direction, std::size_t section, Cause cause,
                      Verdict& verdict) {
    const int down = direction.sections[section].downstream;
    std::uint64_t dropped = 0;
    if (down >= 0) {
      for (const auto& [name, count] : direction.points[static_cast<std::size_t>(down)].dropped)
        dropped += count;
    }
    if (dropped == 0) {
      verdict.cause = cause;
    } else {
      verdict.why = direction.points[static_cast<std::size_t>(down)].name + " dropped " +
                    std::to_string(dropped) + " packets itself";
    }
  }

  const LostAck* acknowledgement_lost(const Again& again) const {
    for (const LostAck& lost : lost_acks_) {
      const LostPacket& ack = *lost.packet;
      const bool covers = ack.protocol == kTcp && ack.sport == again.packet.dport &&
                          ack.dport == again.packet.sport && !before(ack.ack, again.end);
      if (covers && lost.at_start >= static_cast<std::int64_t>(again.before.timestamp_ns) &&
          lost.at_start <= static_cast<std::int64_t>(again.packet.timestamp_ns))
        return &lost;
    }
    return nullptr;
  }

  // What the sender's host recorded decides where it can: in front of the first point nothing else
  // tells the host from its link, and behind a point of that host's own (tc egress) the queue is
  // still to come.
  void ask_host(Verdict& verdict) const {
    if (const auto how = told_.how(verdict.again.packet)) verdict.again.how = *how;
    const bool own = data_.points.front().interface.ends_with(" out");
    if (verdict.cause != Cause::lost || verdict.section > (own ? 1u : 0u)) return;
    const LostPacket& packet = verdict.again.packet;
    std::optional<std::string> host;
    if (verdict.section == 0) {
      host = told_.kept_before_hole(packet);
    } else if (told_.kept_before(packet, data_.points.front().sensor)) {
      host = data_.points.front().sensor;
    }
    if (!host) return;
    verdict.cause = Cause::never_left;
    verdict.why = "the device of " + *host + " did not send it before";
  }

  const Direction &data_, &acks_;
  bool reverse_;
  const std::vector<Gap>& gaps_;
  Fates fates_;
  HostWord told_;
  std::vector<LostAck> lost_acks_;
};

}  // namespace

RetransReport judge_retransmissions(PathReport path) {
  RetransReport report;
  for (const bool reverse : {false, true}) {
    const Direction& direction = reverse ? path.reverse : path.forward;
    Judge(path, reverse).judge_all(report.verdicts);
    report.tcp |= !direction.sections.empty() && direction.sections.front().lost.has_value();
    report.listed_all &= direction.again.size() < kListedMax;
  }
  std::stable_sort(report.verdicts.begin(), report.verdicts.end(),
                   [](const Verdict& a, const Verdict& b) {
                     return a.again.packet.timestamp_ns < b.again.packet.timestamp_ns;
                   });
  report.path = std::move(path);
  return report;
}

}  // namespace fieldline::analysis
