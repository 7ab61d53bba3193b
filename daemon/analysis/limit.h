// SPDX-License-Identifier: Apache-2.0
// What a flow's sender waits for, and how long it waited, by time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "analysis/time_bins.h"

namespace fieldline::analysis {

// In the order in which they are shown: from the application down, along the path, and up again.
enum class Limit : std::uint8_t {
  application,     // it has not written
  idle,            // the same for a second or more, and nothing is under way
  send_buffer,     // it waits in send() for room
  pacing,          // the rate that it, or its congestion control, asked for
  own_host,        // the window is open and data waits: queue of the own device, or no CPU
  cwnd,            // the congestion window, which nothing has cut
  cwnd_cut,        // the congestion window, cut by a loss, or by ECN or the own queue (CWR)
  loss,            // in recovery from a loss
  queue,           // the congestion window, while the round trip is long beyond the path's own
  receive_window,  // the receiver's window, at its full size
  receiver,        // the receiver's window, since the application there does not read
  sender,          // of headers alone: application, send buffer, congestion window or pacing
  unknown,
};
constexpr std::size_t kLimits = static_cast<std::size_t>(Limit::unknown) + 1;

const char* name_of(Limit limit);  // as in documents: send_buffer
const char* text_of(Limit limit);  // as for people: send buffer

constexpr double percent(std::uint64_t part, std::uint64_t all) {
  return all == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(all);
}

// ns of each.
class LimitTimes {
 public:
  std::uint64_t& operator[](Limit limit) { return times_[static_cast<std::size_t>(limit)]; }
  std::uint64_t operator[](Limit limit) const { return times_[static_cast<std::size_t>(limit)]; }
  void add(const LimitTimes& other);
  // The whole of one's time becomes another's.
  void move(Limit from, Limit to);
  std::uint64_t sum() const;
  Limit greatest() const;  // unknown if there is no time at all

 private:
  std::array<std::uint64_t, kLimits> times_{};
};

struct LimitBin {
  std::uint64_t from_ns = 0;
  LimitTimes times{};
  std::uint64_t rtt_samples = 0;
  double rtt_sum_us = 0;
  // Segments of headers' senders, and those of them that an acknowledgement let go.
  std::uint64_t sent = 0, sent_on_ack = 0;

  void merge(const LimitBin& other);
};

using LimitSeries = TimeBins<LimitBin>;

// [from, to), over all bins that it touches.
void add_time(LimitSeries& series, std::uint64_t from_ns, std::uint64_t to_ns, Limit limit);

}  // namespace fieldline::analysis
