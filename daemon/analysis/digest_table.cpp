// SPDX-License-Identifier: Apache-2.0
#include "analysis/digest_table.h"

#include <random>
#include <utility>

namespace fieldline::analysis {
namespace {

constexpr unsigned kBitsAtFirst = 10;

std::uint64_t secret() {
  std::random_device random;
  return (std::uint64_t{random()} << 32 | random()) | 1;
}

}  // namespace

DigestTable::DigestTable()
    : factor_(secret()), shift_(32 - kBitsAtFirst), entries_(std::size_t{1} << kBitsAtFirst) {}

void DigestTable::insert(std::uint64_t digest, std::uint32_t slot) {
  if (++used_ * 2 > entries_.size() && shift_ > 0) grow();
  const std::uint32_t hashed = hash(digest);
  std::size_t at = home(hashed);
  while (entries_[at].slot != kNone) at = next(at);
  entries_[at] = {hashed, slot};
}

void DigestTable::erase(std::uint64_t digest, std::uint32_t slot) {
  std::size_t hole = home(hash(digest));
  while (entries_[hole].slot != slot) hole = next(hole);
  const std::size_t mask = entries_.size() - 1;
  for (std::size_t at = next(hole); entries_[at].slot != kNone; at = next(at)) {
    if (((at - home(entries_[at].hash)) & mask) < ((at - hole) & mask)) continue;
    entries_[hole] = entries_[at];
    hole = at;
  }
  entries_[hole].slot = kNone;
  --used_;
}

void DigestTable::grow() {
  const auto old = std::exchange(entries_, std::vector<Entry>(entries_.size() * 2));
  --shift_;
  for (const Entry& entry : old) {
    if (entry.slot == kNone) continue;
    std::size_t at = home(entry.hash);
    while (entries_[at].slot != kNone) at = next(at);
    entries_[at] = entry;
  }
}

}  // namespace fieldline::analysis
