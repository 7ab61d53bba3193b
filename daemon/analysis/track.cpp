// SPDX-License-Identifier: Apache-2.0
#include "analysis/track.h"

#include <algorithm>
#include <numeric>

namespace fieldline::analysis {
namespace {

constexpr std::uint8_t kTcpFlags = kFin | kSyn | kRst | kAck;

bool older(const Observation& a, const Observation& b) {
  return a.time < b.time;
}

}  // namespace

void Track::add(const PacketInfo& packet, std::uint32_t flow, std::uint64_t digest,
                std::uint64_t time) {
  Observation seen;
  seen.digest = digest;
  seen.time = time;
  seen.flow = flow;
  seen.ttl = packet.ttl;
  seen.ip_id = packet.ip_id;
  seen.payload = static_cast<std::uint16_t>(std::min<std::uint32_t>(packet.payload, UINT16_MAX));
  if (packet.transport && packet.protocol == kTcp) {
    seen.sequence = packet.tcp.sequence;
    seen.ack = packet.tcp.ack;
    seen.flags = packet.tcp.flags & kTcpFlags;
    if (packet.tcp.sacks > 0) {
      seen.flags |= kHasSack;
      seen.extra = static_cast<std::uint32_t>(sacks_.size());
      sacks_.push_back({packet.tcp.sacks, packet.tcp.sack});
    } else if (packet.tcp.has_timestamp) {
      seen.flags |= kHasTimestamp;
      seen.extra = packet.tcp.tsval;
    }
  }
  seen_.push_back(seen);
}

void Track::add_all(const Track& other) {
  const auto shift = static_cast<std::uint32_t>(sacks_.size());
  sacks_.insert(sacks_.end(), other.sacks_.begin(), other.sacks_.end());
  for (Observation seen : other.seen_) {
    if (seen.flags & kHasSack) seen.extra += shift;
    seen_.push_back(seen);
  }
}

void Track::settle() {
  if (settled_ == seen_.size()) return;
  if (!std::is_sorted(seen_.begin() + static_cast<std::ptrdiff_t>(settled_ ? settled_ - 1 : 0),
                      seen_.end(), older)) {
    std::stable_sort(seen_.begin(), seen_.end(), older);
    order_.clear();
    settled_ = 0;
  }
  order_.resize(seen_.size());
  const auto middle = order_.begin() + static_cast<std::ptrdiff_t>(settled_);
  std::iota(middle, order_.end(), static_cast<std::uint32_t>(settled_));
  const auto by_digest = [this](std::uint32_t a, std::uint32_t b) {
    if (seen_[a].digest != seen_[b].digest) return seen_[a].digest < seen_[b].digest;
    return a < b;
  };
  std::sort(middle, order_.end(), by_digest);
  std::inplace_merge(order_.begin(), middle, order_.end(), by_digest);
  settled_ = seen_.size();
}

std::span<const std::uint32_t> Track::of(std::uint64_t digest) const {
  const auto first =
      std::partition_point(order_.begin(), order_.end(),
                           [&](std::uint32_t position) { return seen_[position].digest < digest; });
  auto last = first;
  while (last != order_.end() && seen_[*last].digest == digest) ++last;
  return {first, last};
}

}  // namespace fieldline::analysis
