// SPDX-License-Identifier: Apache-2.0
#include "analysis/relations.h"

#include <algorithm>

namespace fieldline::analysis {
namespace {

// A median over this many is as good as one over all.
constexpr std::size_t kSamples = 4096;
constexpr std::size_t kBundles = 65'536;  // that several lanes have
constexpr std::int64_t kFarthest = std::int64_t{1} << 58;

struct Samples {
  std::vector<int> falls;
  std::vector<std::int64_t> delays;
};

template <class T>
T median(std::vector<T>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The bundle's sights by lane; `single` says for each whether it is that lane's only one.
struct Lanes {
  std::vector<Sight> sights;
  std::vector<bool> single;

  explicit Lanes(const Bundle& bundle) {
    for (const Sight& sight : bundle.sights) {
      const auto known = std::find_if(sights.begin(), sights.end(),
                                      [&](const Sight& other) { return other.lane == sight.lane; });
      if (known != sights.end()) {
        single[static_cast<std::size_t>(known - sights.begin())] = false;
      } else {
        sights.push_back(sight);
        single.push_back(true);
      }
    }
  }
};

void sample(Samples& to, const Sight& first, const Sight& second) {
  if (to.falls.size() >= kSamples) return;
  to.falls.push_back(first.ttl - second.ttl);
  to.delays.push_back(
      std::clamp(static_cast<std::int64_t>(second.time - first.time), -kFarthest, kFarthest));
}

}  // namespace

void Relations::learn(const Window& window, std::size_t lanes) {
  std::map<Pair, Samples> samples;
  std::map<Pair, std::uint64_t> digests;
  std::vector<std::uint64_t> sightings(lanes);
  std::size_t bundles = 0;
  window.for_each([&](const Bundle& bundle) {
    for (const Sight& sight : bundle.sights) ++sightings[sight.lane];
    const Lanes by_lane(bundle);
    for (std::size_t i = 0; i < by_lane.sights.size(); ++i) {
      for (std::size_t j = 0; j < by_lane.sights.size(); ++j) {
        const Sight &first = by_lane.sights[i], &second = by_lane.sights[j];
        if (first.lane >= second.lane) continue;
        ++digests[{first.lane, second.lane}];
        if (by_lane.single[i] && by_lane.single[j])
          sample(samples[{first.lane, second.lane}], first, second);
      }
    }
    bundles += by_lane.sights.size() > 1;
    return bundles < kBundles;
  });
  for (auto& [pair, of] : samples) {
    Relation& relation = relations_[pair];
    if (of.falls.size() < std::min(relation.samples, kSamples / 16)) continue;
    relation = {of.falls.size(), median(of.falls), median(of.delays)};
  }
  for (std::uint32_t a = 0; a < lanes; ++a) {
    for (std::uint32_t b = a + 1; b < lanes; ++b) {
      Shared& shared = shared_[{a, b}];
      if (std::min(sightings[a], sightings[b]) < std::min(shared.of_first, shared.of_second))
        continue;
      shared = {digests[{a, b}], sightings[a], sightings[b]};
    }
  }
}

std::optional<Relation> Relations::between(std::uint32_t a, std::uint32_t b) const {
  const auto found = relations_.find(a < b ? Pair{a, b} : Pair{b, a});
  if (found == relations_.end()) return std::nullopt;
  const Relation& relation = found->second;
  return a < b ? relation : Relation{relation.samples, -relation.ttl_fall, -relation.delay};
}

bool Relations::parallel(std::uint32_t a, std::uint32_t b) const {
  const auto found = shared_.find(a < b ? Pair{a, b} : Pair{b, a});
  if (found == shared_.end()) return false;
  const Shared& shared = found->second;
  return shared.digests * 2 < std::min(shared.of_first, shared.of_second);
}

}  // namespace fieldline::analysis
