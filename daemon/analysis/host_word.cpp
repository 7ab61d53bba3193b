// SPDX-License-Identifier: Apache-2.0
#include "analysis/host_word.h"

#include <algorithm>

namespace fieldline::analysis {
namespace {

constexpr std::uint32_t kLongest = 1 << 16;  // that TCP sends again at once
constexpr std::size_t kLooked = 256;
constexpr std::uint8_t kRecovery = 3, kLoss = 4;  // enum tcp_ca_state

template <class T>
std::tuple<std::uint16_t, std::uint16_t, std::uint32_t> place_of(const T& one) {
  return {one.sport, one.dport, one.sequence};
}

template <class All, class Visit>
void each_covering(const All& all, const LostPacket& packet, Visit visit) {
  auto at = all.upper_bound(place_of(packet));
  for (std::size_t looked = 0; at != all.begin() && looked < kLooked; ++looked) {
    --at;
    const auto& [sport, dport, sequence] = at->first;
    const std::uint32_t behind = packet.sequence - sequence;
    if (sport != packet.sport || dport != packet.dport || behind > kLongest) return;
    if (behind < std::max<std::uint32_t>(at->second.length, 1)) visit(at->second);
  }
}

// What is sent again outside of recovery and of loss is a probe.
Again::How how_of(std::uint8_t ca_state) {
  return ca_state == kRecovery ? Again::How::fast
         : ca_state == kLoss   ? Again::How::timer
                               : Again::How::probe;
}

}  // namespace

// Of records that are not all here, in their order, neither silence says anything nor that all of
// those that are here agree.
HostWord::HostWord(const EventSockets& events, const std::vector<Again>& again) {
  for (const Again& one : again) again_.emplace(place_of(one.packet), Seen{one.packet.payload});
  for (const EventHost& host : events.hosts) {
    if (!host.lost.empty() || host.late > 0) continue;
    for (const Resent& one : host.resent) resent_.emplace(place_of(one), one);
    for (const NeverLeft& one : host.never_left)
      never_left_.emplace(place_of(one), Kept{one.length, &one, &host.name});
  }
}

std::optional<Again::How> HostWord::how(const LostPacket& packet) const {
  std::optional<Again::How> how;
  bool one_way = true;
  each_covering(resent_, packet, [&](const Resent& one) {
    const Again::How its = how_of(one.ca_state);
    one_way &= !how || *how == its;
    how = its;
  });
  return one_way ? how : std::nullopt;
}

// The point's clock is another than the host's. What did leave may still have been lost on the way
// to the point: every time that the device sent it since must have been seen there, too.
std::optional<std::string> HostWord::kept_before_hole(const LostPacket& packet) const {
  std::uint32_t seen_again = 0;
  each_covering(again_, packet, [&](const Seen&) { ++seen_again; });
  std::optional<std::string> host;
  each_covering(never_left_, packet, [&](const Kept& one) {
    if (one.word->left_again <= seen_again) host = *one.host;
  });
  return host;
}

// Once the data have left, what is sent again later was lost behind the device.
bool HostWord::kept_before(const LostPacket& packet, const std::string& host) const {
  bool kept = false;
  each_covering(never_left_, packet, [&](const Kept& one) {
    kept |= *one.host == host && one.word->left_ns >= packet.timestamp_ns;
  });
  return kept;
}

}  // namespace fieldline::analysis
