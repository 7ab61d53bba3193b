// SPDX-License-Identifier: Apache-2.0
#include "analysis/limit.h"

#include <algorithm>
#include <numeric>

namespace fieldline::analysis {
namespace {

struct Name {
  const char *document, *people;
};
constexpr std::array<Name, kLimits> kNames{{{"application", "sending application"},
                                            {"idle", "idle"},
                                            {"send_buffer", "send buffer"},
                                            {"pacing", "pacing"},
                                            {"own_host", "sending host's queue"},
                                            {"cwnd", "congestion window"},
                                            {"cwnd_cut", "cwnd, cut by loss"},
                                            {"loss", "recovery from loss"},
                                            {"queue", "queue on the path"},
                                            {"receive_window", "receive window"},
                                            {"receiver", "receiving application"},
                                            {"sender", "sender"},
                                            {"unknown", "unknown"}}};

}  // namespace

const char* name_of(Limit limit) {
  return kNames[static_cast<std::size_t>(limit)].document;
}

const char* text_of(Limit limit) {
  return kNames[static_cast<std::size_t>(limit)].people;
}

void LimitTimes::add(const LimitTimes& other) {
  for (std::size_t at = 0; at < kLimits; ++at) times_[at] += other.times_[at];
}

void LimitTimes::move(Limit from, Limit to) {
  const std::uint64_t time = (*this)[from];
  (*this)[from] = 0;
  (*this)[to] += time;
}

std::uint64_t LimitTimes::sum() const {
  return std::accumulate(times_.begin(), times_.end(), std::uint64_t{0});
}

Limit LimitTimes::greatest() const {
  const auto most = std::max_element(times_.begin(), times_.end());
  return *most == 0 ? Limit::unknown : static_cast<Limit>(most - times_.begin());
}

void LimitBin::merge(const LimitBin& other) {
  times.add(other.times);
  rtt_samples += other.rtt_samples;
  rtt_sum_us += other.rtt_sum_us;
  sent += other.sent;
  sent_on_ack += other.sent_on_ack;
}

void add_time(LimitSeries& series, std::uint64_t from_ns, std::uint64_t to_ns, Limit limit) {
  add_over(series, from_ns, to_ns,
           [limit](LimitBin& bin, std::uint64_t part) { bin.times[limit] += part; });
}

}  // namespace fieldline::analysis
