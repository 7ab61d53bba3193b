// SPDX-License-Identifier: Apache-2.0
// What one TCP socket's sending waited for, moment by moment, from its own host's records.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "analysis/limit.h"
#include "proto/event.h"

namespace fieldline::analysis {

// What the records of one socket say beside its waiting: the proof of each share. Bytes, segments,
// µs and bytes/s as named; what no record told is 0 or none.
struct SendFacts {
  std::uint64_t records = 0, samples = 0;
  std::uint64_t first_ns = 0, last_ns = 0;
  std::uint64_t writes = 0, written = 0, refused = 0;  // refused: EAGAIN
  std::uint64_t longest_gap_ns = 0;                    // between two returns of send()
  std::uint64_t acked = 0;                             // bytes
  std::uint64_t waiting = 0;                           // bytes: not acknowledged at the last sample
  std::uint64_t retransmitted = 0;                     // segments
  std::uint64_t recoveries = 0, timeouts = 0;          // times that one began
  std::uint64_t reductions = 0;  // times that the window was cut without a loss (TCP_CA_CWR)
  std::uint64_t zero_windows = 0;
  std::uint32_t window_min = 0, window_max = 0;
  std::uint32_t cwnd_min = 0, cwnd_max = 0;  // segments
  std::uint32_t mss = 0;
  std::uint32_t rtt_min_us = 0, rtt_max_us = 0;  // smoothed
  std::uint32_t send_buffer = 0;
  std::uint64_t pacing_rate = 0;
  std::uint32_t pid = 0;
  // By the kernel's own account, between the first and the last sample.
  std::uint64_t kernel_ns = 0, busy_us = 0, rwnd_limited_us = 0, sndbuf_limited_us = 0;
};

// Fed in order of time. A record of TCP shows the socket as it was while nothing happened to it, so
// that the time since the record before it is that state's.
class SendState {
 public:
  explicit SendState(std::uint64_t interval_ns, std::size_t bins = 4096)
      : series_(interval_ns, bins) {}

  void see(const magnet_record_ext& record);
  void see(const fl_tcp_info& sample);
  // Records of the host were lost from then on until now.
  void lose(std::uint64_t from_ns, std::uint64_t to_ns);
  void finish();

  const LimitSeries& series() const { return series_; }
  const SendFacts& facts() const { return facts_; }
  bool closed() const { return closed_; }

 private:
  struct Shown {
    std::uint32_t in_flight = 0, unsent = 0, window = 0;
    std::uint64_t cwnd = 0;  // bytes
    std::uint8_t ca_state = 0;
    bool full = false;  // the congestion window, in segments
  };
  // Nothing to send, and something under way: the application did not write, or could not. maybe:
  // what it wrote last fills the buffer; what makes it write again will tell.
  enum class Blocked : std::uint8_t { no, maybe, yes };
  struct Starved {
    std::uint64_t from_ns, to_ns;
    Blocked blocked;
  };

  Shown waited(Shown before) const;
  void see_handshake(const magnet_record_ext& record);
  void see_tcp(const magnet_record_ext& record);
  void see_write(const magnet_record_ext& record);
  void show(const Shown& shown);
  void note_window(std::uint32_t window);
  void note_congestion(std::uint8_t ca_state, std::uint32_t ssthresh);
  void note_rtt(std::uint64_t time_ns, std::uint32_t srtt_us);
  void acknowledge(std::uint32_t bytes);
  void transmit();
  bool is_new(const magnet_ext_tcp& tcp) const;
  Limit limit_of(const Shown& shown) const;
  Limit limit_by_window(const Shown& shown) const;
  bool paced() const;
  void learn_mss(std::uint32_t size, std::uint16_t segments);
  std::uint64_t mss() const;
  void starved_for_loss();
  Blocked blocked() const;
  void elapse(std::uint64_t until_ns, Limit limit);
  void end_quiet(std::uint64_t until_ns);
  void settle_starved(std::uint64_t blocked_ns);
  void wake(std::uint64_t time_ns);
  void tell(Blocked blocked);
  void starve(std::uint64_t until_ns);
  void account(const fl_tcp_info& sample);
  void elapse_as_told(const fl_tcp_info& sample, const Shown& shown);

  LimitSeries series_;
  SendFacts facts_;
  Shown now_;  // behind the last record
  std::uint64_t since_ns_ = 0;
  bool begun_ = false, closed_ = false;
  bool window_told_ = false;  // by a sample: 0 is a window then
  bool cut_ = false;          // the congestion window, by a loss
  bool shown_ = false;        // a record of TCP or a sample was seen
  bool refused_ = false;      // the last send() got EAGAIN
  std::uint64_t written_ns_ = 0, acked_ns_ = 0;
  // Sequence behind what calls have written.
  std::optional<std::uint32_t> written_end_;
  std::uint32_t queue_ = 0;  // of the last write: not acknowledged
  std::optional<std::uint32_t> una_;
  std::optional<std::uint64_t> quiet_since_ns_;
  std::vector<Starved> starved_;
  std::uint64_t limited_ns_ = 0;  // by the kernel, of what is not settled
  std::optional<fl_tcp_info> sample_, first_sample_;
};

}  // namespace fieldline::analysis
