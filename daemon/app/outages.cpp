// SPDX-License-Identifier: Apache-2.0
#include "app/outages.h"

#include <algorithm>

namespace fieldline::app {

void Outages::note(stream::LinkState state, std::uint64_t utc_ns) {
  const bool is_out = !outages_.empty() && outages_.back().until_ns == 0;
  switch (state) {
    case stream::LinkState::idle:
    case stream::LinkState::connecting:
      return;
    case stream::LinkState::connected:
      if (is_out) outages_.back().until_ns = std::max(utc_ns, outages_.back().from_ns);
      return;
    case stream::LinkState::wrong_key:
    case stream::LinkState::refused:
    case stream::LinkState::unreachable:
      if (is_out) return;
      if (outages_.size() == kMost) outages_.pop_front();
      outages_.push_back({utc_ns, 0, name_of(state)});
      return;
  }
}

nlohmann::json Outages::since(std::uint64_t utc_ns) const {
  nlohmann::json list = nlohmann::json::array();
  for (const Outage& outage : outages_) {
    if (outage.until_ns != 0 && outage.until_ns < utc_ns) continue;
    nlohmann::json one = {{"from_ns", outage.from_ns}, {"until_ns", nullptr}, {"why", outage.why}};
    if (outage.until_ns != 0) one["until_ns"] = outage.until_ns;
    list.push_back(std::move(one));
  }
  return list;
}

}  // namespace fieldline::app
