// SPDX-License-Identifier: Apache-2.0
#include "sense/bucket.h"

#include <algorithm>

#include "base/clock.h"

namespace fieldline::sense {

void Bucket::refill(const Rate& rate, std::uint64_t now_ns) {
  if (now_ns > at_ns) {
    double seconds = static_cast<double>(now_ns - at_ns) / static_cast<double>(kNanosPerSecond);
    tokens = std::min(rate.burst, tokens + seconds * rate.per_second);
  }
  at_ns = now_ns;
}

bool Bucket::take(const Rate& rate, std::uint64_t now_ns) {
  refill(rate, now_ns);
  if (tokens < 1) return false;
  tokens -= 1;
  return true;
}

bool BucketTable::take(const Key& key, std::uint64_t now_ns) {
  auto at = buckets_.find(key);
  if (at == buckets_.end() && buckets_.size() >= limit_) {
    // At most one sweep a second, or a flood of new sources would buy a whole scan with each
    // packet.
    if (now_ns < swept_ns_ || now_ns - swept_ns_ >= kNanosPerSecond) drop_full(now_ns);
    if (buckets_.size() >= limit_) {
      if (!overflowed_) overflow_ = Bucket::full(rate_, now_ns);
      overflowed_ = true;
      return overflow_.take(rate_, now_ns);
    }
  }
  if (at == buckets_.end()) at = buckets_.emplace(key, Bucket::full(rate_, now_ns)).first;
  return at->second.take(rate_, now_ns);
}

void BucketTable::drop_full(std::uint64_t now_ns) {
  swept_ns_ = now_ns;
  for (auto at = buckets_.begin(); at != buckets_.end();) {
    at->second.refill(rate_, now_ns);
    at = at->second.tokens >= rate_.burst ? buckets_.erase(at) : std::next(at);
  }
}

}  // namespace fieldline::sense
