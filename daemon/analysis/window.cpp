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

void Window::add(std::uint32_t lane, std::int64_t shift, const Observation& seen) {
  const auto [found, fresh] = slots_.try_emplace(seen.digest, 0);
  if (fresh) {
    if (free_.empty()) {
      free_.push_back(static_cast<std::uint32_t>(bundles_.size()));
      bundles_.emplace_back();
    }
    found->second = free_.back();
    free_.pop_back();
    bundles_[found->second].packet = seen;
    queue(found->second, at_start(seen.time, shift));
  }
  bundles_[found->second].sights.push_back({seen.time, lane, seen.ttl});
  ++sights_;
}

void Window::queue(std::uint32_t slot, std::int64_t due) {
  queue_.push_back({due, slot});
  std::push_heap(queue_.begin(), queue_.end());
}

std::int64_t Window::newest_of(const Bundle& bundle, Shifts shifts) {
  std::int64_t newest = std::numeric_limits<std::int64_t>::min();
  for (const Sight& sight : bundle.sights)
    newest = std::max(newest, at_start(sight.time, shifts[sight.lane]));
  return newest;
}

Bundle Window::take(std::uint32_t slot) {
  Bundle bundle = std::exchange(bundles_[slot], Bundle());
  slots_.erase(bundle.packet.digest);
  free_.push_back(slot);
  sights_ -= bundle.sights.size();
  return bundle;
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
