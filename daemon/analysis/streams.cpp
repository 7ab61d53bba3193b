// SPDX-License-Identifier: Apache-2.0
#include "analysis/streams.h"

#include <algorithm>

namespace fieldline::analysis {
namespace {

// Of the median of the others: streams that share a bottleneck differ by less for long.
constexpr double kSlow = 0.5;

bool is_control(const WhyFlow& flow) {
  const Limit greatest = flow.total.greatest();
  return flow.minor && (greatest == Limit::application || greatest == Limit::idle ||
                        greatest == Limit::unknown || flow.total.sum() == 0);
}

double rate_of(const WhyFlow& flow) {
  const double seconds = static_cast<double>(flow.facts.last_ns - flow.facts.first_ns) / 1e9;
  return seconds > 0 ? static_cast<double>(flow.bytes()) * 8 / seconds : 0;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

Streams side_by_side(const std::vector<WhyFlow>& flows) {
  Streams found;
  for (const WhyFlow& flow : flows) {
    const WhyFlow& first = flows.front();
    if (flow.host != first.host || flow.reverse != first.reverse || is_control(flow)) continue;
    found.streams.push_back({&flow, rate_of(flow)});
  }
  if (found.streams.size() < 2) return {};
  const auto slowest =
      std::min_element(found.streams.begin(), found.streams.end(),
                       [](const Stream& a, const Stream& b) { return a.rate < b.rate; });
  std::vector<double> others;
  for (auto stream = found.streams.begin(); stream != found.streams.end(); ++stream) {
    if (stream != slowest) others.push_back(stream->rate);
  }
  found.others = median(std::move(others));
  if (slowest->rate < kSlow * found.others) found.slowest = slowest->flow;
  return found;
}

}  // namespace fieldline::analysis
