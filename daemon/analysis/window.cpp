// SPDX-License-Identifier: Apache-2.0
#include "analysis/window.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace fieldline::analysis {

std::int64_t at_start(std::uint64_t time, std::int64_t shift) {
  constexpr std::int64_t kEnd = std::numeric_limits<std::int64_t>::max() / 4;
  const auto limited = static_cast<std::int64_t>(std::min<std::uint64_t>(time, kEnd));
  return limited - std::clamp(shift, -kEnd, kEnd);
}

void Window::add(std::uint32_t lane, std::int64_t shift, const Observation& seen,
                 std::uint8_t rank) {
  ++sights_;
  const Met met{seen, at_start(seen.time, shift), lane, rank};
  if (!joins_) return alone_.push(met);
  table_.announce(seen.digest);
  fresh_.push_back(met);
  if (fresh_.size() == kBatch) settle();
}

void Window::begin_to_join() {
  if (joins_) return;
  joins_ = true;
  alone_.drain(std::numeric_limits<std::int64_t>::max(), [this](const Met& met) { file(met); });
}

void Window::settle() {
  for (const Met& met : fresh_) {
    table_.find(met.seen.digest, [this](std::uint32_t slot) {
      announce(bundles_[slot]);
      return true;
    });
  }
  for (const Met& met : fresh_) file(met);
  fresh_.clear();
}

std::uint32_t Window::find(std::uint64_t digest) const {
  return table_.find(
      digest, [&](std::uint32_t candidate) { return bundles_[candidate].packet.digest == digest; });
}

// Sendings whose digests differed may have one wire key.
void Window::rename(std::uint32_t slot) {
  Bundle& bundle = bundles_[slot];
  const std::uint64_t name = wire_flows_.name(bundle.packet);
  if (name == bundle.packet.digest) return;
  table_.erase(bundle.packet.digest, slot);
  bundle.packet.digest = name;
  const std::uint32_t other = find(name);
  if (other == DigestTable::kNone) return table_.insert(name, slot);
  auto& sights = bundles_[other].sights;
  sights.insert(sights.end(), bundle.sights.begin(), bundle.sights.end());
  bundle.sights.clear();
}

void Window::file(const Met& met) {
  const std::uint64_t digest = met.seen.digest;
  std::uint32_t slot = find(digest);
  if (slot == DigestTable::kNone) {
    if (free_.empty()) {
      free_.push_back(static_cast<std::uint32_t>(bundles_.size()));
      bundles_.emplace_back();
    }
    slot = free_.back();
    free_.pop_back();
    bundles_[slot].packet = met.seen;
    table_.insert(digest, slot);
    queue_.push({met.due, slot});
  }
  bundles_[slot].sights.push_back({met.seen.time, met.lane, met.seen.ttl, met.rank});
}

std::int64_t Window::newest_of(const Bundle& bundle, Shifts shifts) {
  std::int64_t newest = std::numeric_limits<std::int64_t>::min();
  for (const Sight& sight : bundle.sights)
    newest = std::max(newest, at_start(sight.time, shifts[sight.lane]));
  return newest;
}

void Window::forget(std::uint32_t slot) {
  Bundle& bundle = bundles_[slot];
  table_.erase(bundle.packet.digest, slot);
  sights_ -= bundle.sights.size();
  if (bundle.sights.capacity() > kBundleMax) bundle = Bundle();
  bundle.sights.clear();
  free_.push_back(slot);
}

// Cut where nothing of it passed for longest, so that no packet's sightings are parted; everything
// older than the cut.
Bundle Window::split(Bundle& bundle, std::int64_t horizon, Shifts shifts) {
  const auto time_of = [&](const Sight& sight) { return at_start(sight.time, shifts[sight.lane]); };
  std::sort(bundle.sights.begin(), bundle.sights.end(),
            [&](const Sight& a, const Sight& b) { return time_of(a) < time_of(b); });
  std::size_t cut = 0;
  std::int64_t widest = 0;
  for (std::size_t at = 1; at < bundle.sights.size(); ++at) {
    const std::int64_t before = time_of(bundle.sights[at - 1]);
    if (before >= horizon) break;
    if (const std::int64_t gap = time_of(bundle.sights[at]) - before; gap > widest) {
      widest = gap;
      cut = at;
    }
  }
  const auto middle = bundle.sights.begin() + static_cast<std::ptrdiff_t>(cut);
  Bundle older;
  older.packet = bundle.packet;
  older.sights.assign(bundle.sights.begin(), middle);
  bundle.sights.erase(bundle.sights.begin(), middle);
  sights_ -= older.sights.size();
  return older;
}

}  // namespace fieldline::analysis
