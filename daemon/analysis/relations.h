// SPDX-License-Identifier: Apache-2.0
// What packets that two lanes both saw say about them: who stands in front, how far apart, and
// whether they share one place's load.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "analysis/window.h"

namespace fieldline::analysis {

// From lane a to lane b; medians over packets that each of them saw once.
struct Relation {
  std::size_t samples = 0;
  int ttl_fall = 0;        // TTL at a minus TTL at b
  std::int64_t delay = 0;  // time at b minus time at a, ns
};

class Relations {
 public:
  // From what is in the window now; a relation of before stays where now fewer packets tell.
  void learn(const Window& window, std::size_t lanes);

  std::optional<Relation> between(std::uint32_t a, std::uint32_t b) const;
  // Whether two lanes share a load (members of a LAG) rather than stand one behind the other: then
  // most packets were seen by one of them only.
  bool parallel(std::uint32_t a, std::uint32_t b) const;

 private:
  using Pair = std::pair<std::uint32_t, std::uint32_t>;  // first < second
  struct Shared {
    std::uint64_t digests = 0, of_first = 0, of_second = 0;  // sightings of each lane alone
  };

  std::map<Pair, Relation> relations_;
  std::map<Pair, Shared> shared_;
};

}  // namespace fieldline::analysis
