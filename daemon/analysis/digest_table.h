// SPDX-License-Identifier: Apache-2.0
// From a digest to the slot where its packet is kept. A look-up can be announced: with a million
// packets under way each is a cache miss, and misses that wait for one another are what a join
// costs.
#pragma once

#include <cstdint>
#include <vector>

namespace fieldline::analysis {

// Open addressing, linear probing, at most half full; entries move back on erasure, so that there
// are no tombstones. Of a digest it keeps 32 hashed bits: the owner of the slots knows the rest.
class DigestTable {
 public:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  DigestTable();

  void announce(std::uint64_t digest) const { __builtin_prefetch(&entries_[home(hash(digest))]); }
  // The first slot for which same(slot) holds, kNone: there is none.
  template <class Same>
  std::uint32_t find(std::uint64_t digest, Same same) const {
    const std::uint32_t hashed = hash(digest);
    for (std::size_t at = home(hashed); entries_[at].slot != kNone; at = next(at)) {
      if (entries_[at].hash == hashed && same(entries_[at].slot)) return entries_[at].slot;
    }
    return kNone;
  }
  void insert(std::uint64_t digest, std::uint32_t slot);  // that is not in it
  void erase(std::uint64_t digest, std::uint32_t slot);   // that is in it

 private:
  struct Entry {
    std::uint32_t hash = 0, slot = kNone;
  };

  // Multiplied by what nobody outside knows: digests that are chosen to meet do not.
  std::uint32_t hash(std::uint64_t digest) const {
    return static_cast<std::uint32_t>((digest * factor_) >> 32);
  }
  std::size_t home(std::uint32_t hashed) const { return hashed >> shift_; }
  std::size_t next(std::size_t at) const { return (at + 1) & (entries_.size() - 1); }
  void grow();

  std::uint64_t factor_;
  unsigned shift_;
  std::vector<Entry> entries_;
  std::size_t used_ = 0;
};

}  // namespace fieldline::analysis
