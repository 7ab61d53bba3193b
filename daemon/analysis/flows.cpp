// SPDX-License-Identifier: Apache-2.0
#include "analysis/flows.h"

#include <random>
#include <utility>

namespace fieldline::analysis {

PackedFlow::Hash::Hash() {
  static const std::uint64_t own = [] {
    std::random_device random;
    return std::uint64_t{random()} << 32 | random();
  }();
  seed = own;
}

std::uint32_t FlowTable::number(const PacketInfo& packet, bool reverse) {
  if (!packet.transport) return kNone;
  FlowKey key{packet.src, packet.dst, packet.sport, packet.dport, packet.protocol};
  if (reverse) {
    std::swap(key.a, key.b);
    std::swap(key.port_a, key.port_b);
  }
  const auto [found, added] =
      numbers_.try_emplace(PackedFlow(key), static_cast<std::uint32_t>(keys_.size()));
  if (added) {
    keys_.push_back(key);
    is_tcp_.push_back(key.protocol == kTcp);
  }
  return found->second;
}

}  // namespace fieldline::analysis
