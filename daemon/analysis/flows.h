// SPDX-License-Identifier: Apache-2.0
// Numbers the flows of a run, so that a record carries four bytes instead of addresses and ports.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "analysis/packet.h"

namespace fieldline::analysis {

// As the grant sees it: a is its host A. Both directions of a flow have one key.
struct FlowKey {
  Address a, b;
  std::uint16_t port_a = 0, port_b = 0;
  std::uint8_t protocol = 0;

  bool operator==(const FlowKey&) const = default;
};

class FlowTable {
 public:
  static constexpr std::uint32_t kNone =
      UINT32_MAX;  // of a packet whose transport header could not be read

  std::uint32_t number(const PacketInfo& packet, bool reverse);
  const FlowKey& key(std::uint32_t flow) const { return keys_[flow]; }
  bool is_tcp(std::uint32_t flow) const { return flow != kNone && keys_[flow].protocol == kTcp; }
  std::size_t size() const { return keys_.size(); }

 private:
  struct Hash {
    std::size_t operator()(const FlowKey& key) const;
  };
  std::unordered_map<FlowKey, std::uint32_t, Hash> numbers_;
  std::vector<FlowKey> keys_;
};

}  // namespace fieldline::analysis
