// SPDX-License-Identifier: Apache-2.0
#include "analysis/relations.h"

#include <algorithm>

#include <boost/container/small_vector.hpp>
#include <boost/unordered/unordered_flat_map.hpp>

namespace fieldline::analysis {
namespace {

// A median over this many is as good as one over all.
constexpr std::size_t kSamples = 4096;
constexpr std::size_t kBundles = 65'536;  // that several lanes have
constexpr std::int64_t kFarthest = std::int64_t{1} << 58;

struct Samples {
  std::uint64_t digests = 0;  // that both lanes have
  std::vector<int> falls;
  std::vector<std::int64_t> delays;
};

template <class T>
T median(std::vector<T>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// A lane that has a bundle; `single`: once.
struct Shown {
  Sight sight;
  bool single;
};
using AllShown = boost::container::small_vector<Shown, 8>;

void show(const Bundle& bundle, AllShown& shown) {
  shown.clear();
  for (const Sight& sight : bundle.sights) {
    const auto known = std::find_if(shown.begin(), shown.end(), [&](const Shown& other) {
      return other.sight.lane == sight.lane;
    });
    if (known != shown.end()) {
      known->single = false;
    } else {
      shown.push_back({sight, true});
    }
  }
}

void sample(Samples& to, const Sight& first, const Sight& second) {
  if (to.falls.size() >= kSamples) return;
  to.falls.push_back(first.ttl - second.ttl);
  to.delays.push_back(
      std::clamp(static_cast<std::int64_t>(second.time - first.time), -kFarthest, kFarthest));
}

}  // namespace

void Relations::learn(const Window& window, std::size_t lanes) {
  boost::unordered_flat_map<Pair, Samples, boost::hash<Pair>> pairs;
  std::vector<std::uint64_t> sightings(lanes);
  std::size_t bundles = 0;
  AllShown shown;
  window.for_each([&](const Bundle& bundle) {
    for (const Sight& sight : bundle.sights) ++sightings[sight.lane];
    show(bundle, shown);
    for (const Shown& first : shown) {
      for (const Shown& second : shown) {
        if (first.sight.lane >= second.sight.lane) continue;
        Samples& samples = pairs[{first.sight.lane, second.sight.lane}];
        ++samples.digests;
        if (first.single && second.single) sample(samples, first.sight, second.sight);
      }
    }
    bundles += shown.size() > 1;
    return bundles < kBundles;
  });
  for (auto& [pair, of] : pairs) {
    if (of.falls.empty()) continue;
    Relation& relation = relations_[pair];
    if (of.falls.size() < std::min(relation.samples, kSamples / 16)) continue;
    relation = {of.falls.size(), median(of.falls), median(of.delays)};
  }
  for (std::uint32_t a = 0; a < lanes; ++a) {
    for (std::uint32_t b = a + 1; b < lanes; ++b) {
      Shared& shared = shared_[{a, b}];
      if (std::min(sightings[a], sightings[b]) < std::min(shared.of_first, shared.of_second))
        continue;
      const auto found = pairs.find(Pair{a, b});
      shared = {found == pairs.end() ? 0 : found->second.digests, sightings[a], sightings[b]};
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
