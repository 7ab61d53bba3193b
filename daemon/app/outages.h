// SPDX-License-Identifier: Apache-2.0
// When one archive could not be reached, as far as it was noticed.
#pragma once

#include <cstdint>
#include <deque>

#include <nlohmann/json.hpp>

#include "stream/producer.h"

namespace fieldline::app {

class Outages {
 public:
  static constexpr std::size_t kMost = 64;  // the oldest are forgotten

  // It is connected, or not: in between it is not known yet, and nothing is said of that.
  void note(stream::LinkState state, std::uint64_t utc_ns);
  // Those that were not over by then: [{"from_ns","until_ns","why"}].
  nlohmann::json since(std::uint64_t utc_ns) const;

 private:
  struct Outage {
    std::uint64_t from_ns = 0, until_ns = 0;  // 0: it is not over
    const char* why = "";
  };
  std::deque<Outage> outages_;
};

}  // namespace fieldline::app
