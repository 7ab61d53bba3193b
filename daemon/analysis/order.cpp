// SPDX-License-Identifier: Apache-2.0
#include "analysis/order.h"

#include <algorithm>

namespace fieldline::analysis {
namespace {

const Seat* find(std::span<const Seat> seats, const std::string& place) {
  for (const Seat& seat : seats) {
    if (seat.place == place) return &seat;
  }
  return nullptr;
}

int sign(std::int64_t value) {
  return value > 0 ? 1 : value < 0 ? -1 : 0;
}

// > 0: a stands before b. 0: the packets do not tell.
int compare(const Seat& a, const Seat& b, const Relations& relations, const Seated& opposite) {
  const auto relation = relation_of(a, b, relations);
  if (!relation) return 0;
  if (relation->ttl_fall != 0) return sign(relation->ttl_fall);
  std::int64_t delay = relation->delay;
  if (a.place != b.place) {
    const Seat *back_a = find(opposite.seats, a.place), *back_b = find(opposite.seats, b.place);
    if (back_a && back_b) {
      if (const auto back = relation_of(*back_a, *back_b, opposite.relations);
          back && back->ttl_fall == 0) {
        delay -= back->delay;
      }
    }
  }
  return sign(delay);
}

}  // namespace

std::optional<Relation> relation_of(const Seat& a, const Seat& b, const Relations& relations) {
  std::optional<Relation> best;
  for (const std::uint32_t from : a.lanes) {
    for (const std::uint32_t to : b.lanes) {
      const auto relation = relations.between(from, to);
      if (relation && (!best || relation->samples > best->samples)) best = relation;
    }
  }
  return best;
}

std::vector<std::size_t> path_order(const Seated& direction, const Seated& opposite) {
  // Counted wins instead of a sort by compare(): hostile or contradictory records need not be
  // transitive.
  const auto& seats = direction.seats;
  std::vector<std::size_t> order(seats.size());
  std::vector<int> behind(seats.size());
  for (std::size_t i = 0; i < seats.size(); ++i) {
    order[i] = i;
    for (std::size_t j = i + 1; j < seats.size(); ++j) {
      const int ahead = compare(seats[i], seats[j], direction.relations, opposite);
      behind[i] += ahead;
      behind[j] -= ahead;
    }
  }
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (behind[a] != behind[b]) return behind[a] > behind[b];
    return seats[a].name < seats[b].name;
  });
  return order;
}

}  // namespace fieldline::analysis
