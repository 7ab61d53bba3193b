// SPDX-License-Identifier: Apache-2.0
#include "analysis/order.h"

#include <algorithm>
#include <optional>

namespace fieldline::analysis {
namespace {

// Digests are as good as random, so that the first in their order are a fair sample.
constexpr std::size_t kSamples = 4096;

struct Relation {
  int ttl_fall = 0;        // median of TTL at a minus TTL at b
  std::int64_t delay = 0;  // median of time at b minus time at a
};

template <class T>
T median(std::vector<T>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::optional<Relation> relate(const Track& a, const Track& b) {
  std::vector<int> falls;
  std::vector<std::int64_t> delays;
  for_each_digest(a, b, [&](auto at_a, auto at_b) {
    if (at_a.size() != 1 || at_b.size() != 1) return true;
    const Observation &first = a[at_a[0]], &second = b[at_b[0]];
    falls.push_back(first.ttl - second.ttl);
    delays.push_back(static_cast<std::int64_t>(second.time - first.time));
    return falls.size() < kSamples;
  });
  if (falls.empty()) return std::nullopt;
  return Relation{median(falls), median(delays)};
}

const Track* find(std::span<const Seat> seats, const std::string& place) {
  for (const Seat& seat : seats) {
    if (seat.place == place) return seat.track;
  }
  return nullptr;
}

int sign(std::int64_t value) {
  return value > 0 ? 1 : value < 0 ? -1 : 0;
}

// > 0: a stands before b. 0: the packets do not tell.
int compare(const Seat& a, const Seat& b, std::span<const Seat> opposite) {
  const auto relation = relate(*a.track, *b.track);
  if (!relation) return 0;
  if (relation->ttl_fall != 0) return sign(relation->ttl_fall);
  std::int64_t delay = relation->delay;
  if (a.place != b.place) {
    const Track *back_a = find(opposite, a.place), *back_b = find(opposite, b.place);
    if (back_a && back_b) {
      if (const auto back = relate(*back_a, *back_b); back && back->ttl_fall == 0) {
        delay -= back->delay;
      }
    }
  }
  return sign(delay);
}

}  // namespace

std::vector<std::size_t> path_order(std::span<const Seat> direction,
                                    std::span<const Seat> opposite) {
  // Counted wins instead of a sort by compare(): hostile or contradictory records need not be
  // transitive.
  std::vector<std::size_t> order(direction.size());
  std::vector<int> behind(direction.size());
  for (std::size_t i = 0; i < direction.size(); ++i) {
    order[i] = i;
    for (std::size_t j = i + 1; j < direction.size(); ++j) {
      const int ahead = compare(direction[i], direction[j], opposite);
      behind[i] += ahead;
      behind[j] -= ahead;
    }
  }
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (behind[a] != behind[b]) return behind[a] > behind[b];
    return direction[a].name < direction[b].name;
  });
  return order;
}

bool parallel(const Track& a, const Track& b) {
  std::size_t shared = 0;
  for_each_digest(a, b, [&](auto at_a, auto at_b) {
    if (!at_a.empty() && !at_b.empty()) ++shared;
    return true;
  });
  return shared * 2 < std::min(a.size(), b.size());
}

}  // namespace fieldline::analysis
