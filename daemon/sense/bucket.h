// SPDX-License-Identifier: Apache-2.0
// Token buckets in bounded memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>

namespace fieldline::sense {

struct Rate {
  double per_second = 0, burst = 0;
};

struct Bucket {
  double tokens = 0;
  std::uint64_t at_ns = 0;

  static Bucket full(const Rate& rate, std::uint64_t now_ns) { return {rate.burst, now_ns}; }
  // A clock that steps back gives no tokens and takes none.
  void refill(const Rate& rate, std::uint64_t now_ns);
  bool take(const Rate& rate, std::uint64_t now_ns);
};

// Buckets by key, at most `limit` of them. Invariant: a bucket is forgotten only when it is full
// again, when it is no different from a new one; so nobody gets tokens by filling the table with
// other keys. While the table is full of buckets in use, keys without one share a single bucket,
// and an attacker who sends from ever new sources competes with strangers, not with those who had a
// bucket before.
class BucketTable {
 public:
  // Ordered, not hashed: keys come from packets.
  using Key = std::array<std::uint8_t, 24>;

  BucketTable(const Rate& rate, std::size_t limit) : rate_(rate), limit_(limit) {}
  bool take(const Key& key, std::uint64_t now_ns);
  void drop_full(std::uint64_t now_ns);
  std::size_t size() const { return buckets_.size(); }

 private:
  Rate rate_;
  std::size_t limit_;
  std::map<Key, Bucket> buckets_;
  Bucket overflow_;
  bool overflowed_ = false;
  std::uint64_t swept_ns_ = 0;
};

}  // namespace fieldline::sense
