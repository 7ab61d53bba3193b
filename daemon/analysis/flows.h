// SPDX-License-Identifier: Apache-2.0
// Numbers the flows of a run, so that a record carries four bytes instead of addresses and ports.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "analysis/packet.h"

namespace fieldline::analysis {

// As the grant sees it: a is its host A. Both directions of a flow have one key.
struct FlowKey {
  Address a, b;
  std::uint16_t port_a = 0, port_b = 0;
  std::uint8_t protocol = 0;

  bool operator==(const FlowKey&) const = default;
};

// A flow's key as words: what is looked up for each packet is compared and hashed by the word.
class PackedFlow {
 public:
  explicit PackedFlow(const FlowKey& key) {
    std::memcpy(&words_[0], key.a.bytes.data(), 16);
    std::memcpy(&words_[2], key.b.bytes.data(), 16);
    words_[4] = std::uint64_t{key.port_a} << 32 | std::uint64_t{key.port_b} << 8 | key.protocol;
  }

  bool operator==(const PackedFlow& other) const {
    const auto& a = words_;
    const auto& b = other.words_;
    return ((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) | (a[4] ^ b[4])) == 0;
  }

  struct Hash {
    using is_avalanching = void;

    Hash();
    std::size_t operator()(const PackedFlow& flow) const {
      std::uint64_t hash = seed;
      for (std::size_t i = 0; i + 1 < flow.words_.size(); i += 2)
        hash = mixed(hash ^ flow.words_[i], flow.words_[i + 1] ^ kFactor);
      return mixed(hash ^ flow.words_[4], seed | 1);
    }
    // Both halves of the product (wyhash, Wang Yi).
    static std::uint64_t mixed(std::uint64_t a, std::uint64_t b) {
      const auto product = static_cast<unsigned __int128>(a) * b;
      return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
    }

    static constexpr std::uint64_t kFactor = 0x9e3779b97f4a7c15;
    std::uint64_t seed;  // the process's own: addresses that are chosen to meet do not
  };
  template <class T>
  using Map = boost::unordered_flat_map<PackedFlow, T, Hash>;

 private:
  std::array<std::uint64_t, 5> words_;
};

class FlowTable {
 public:
  static constexpr std::uint32_t kNone =
      UINT32_MAX;  // of a packet whose transport header could not be read

  std::uint32_t number(const PacketInfo& packet, bool reverse);
  const FlowKey& key(std::uint32_t flow) const { return keys_[flow]; }
  bool is_tcp(std::uint32_t flow) const { return flow < is_tcp_.size() && is_tcp_[flow]; }
  std::size_t size() const { return keys_.size(); }

 private:
  PackedFlow::Map<std::uint32_t> numbers_;
  std::vector<FlowKey> keys_;
  std::vector<bool> is_tcp_;  // asked of each packet several times: few lines of the cache
};

}  // namespace fieldline::analysis
