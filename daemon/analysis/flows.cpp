// SPDX-License-Identifier: Apache-2.0
#include "analysis/flows.h"

#include <string_view>
#include <utility>

namespace fieldline::analysis {

std::size_t FlowTable::Hash::operator()(const FlowKey& key) const {
  const std::hash<std::string_view> hash;
  const std::uint64_t ports = static_cast<std::uint64_t>(key.port_a) << 24 |
                              static_cast<std::uint64_t>(key.port_b) << 8 | key.protocol;
  return hash(text(key.a.bytes)) ^ hash(text(key.b.bytes)) * 31 ^ ports * 0x9e3779b97f4a7c15ull;
}

std::uint32_t FlowTable::number(const PacketInfo& packet, bool reverse) {
  if (!packet.transport) return kNone;
  FlowKey key{packet.src, packet.dst, packet.sport, packet.dport, packet.protocol};
  if (reverse) {
    std::swap(key.a, key.b);
    std::swap(key.port_a, key.port_b);
  }
  const auto [found, added] = numbers_.try_emplace(key, static_cast<std::uint32_t>(keys_.size()));
  if (added) keys_.push_back(key);
  return found->second;
}

}  // namespace fieldline::analysis
