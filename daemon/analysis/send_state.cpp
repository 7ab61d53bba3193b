// SPDX-License-Identifier: Apache-2.0
#include "analysis/send_state.h"

#include <algorithm>
#include <cerrno>

namespace fieldline::analysis {
namespace {

constexpr std::uint64_t kIdleNs = 1'000'000'000;
constexpr std::uint32_t kMssUsual = 1448;
constexpr std::uint32_t kMssMost = 65'535;
constexpr std::uint8_t kSyn = 2, kAck = 16;
constexpr std::uint8_t kReduced = 2, kRecovery = 3, kLossState = 4;  // enum tcp_ca_state
constexpr std::uint32_t kNoThreshold = 0x7fffffff;                   // TCP_INFINITE_SSTHRESH
constexpr std::uint64_t kNotPaced = UINT64_MAX;
constexpr std::size_t kStarvedMost = 4096;
constexpr std::uint32_t kControlBytes = 2;  // SYN and FIN take of the sequence space

// What is not settled by then, by a sample or by a call, is as the records alone say.
constexpr std::uint64_t kSettleNs = 5'000'000'000;
// A writer that waited for room runs again when an acknowledgement made it, this much later at
// most.
constexpr std::uint64_t kWakeNs = 5'000'000;

// Of a window's use from which the kernel waits for more of it: TCP holds small pieces back until a
// third of the window is free (tcp_tso_should_defer, tcp_tso_win_divisor = 3).
constexpr std::uint64_t kUsedOf = 2, kUsedFrom = 3;

}  // namespace

void SendState::see(const magnet_record_ext& record) {
  ++facts_.records;
  if (!begun_) facts_.first_ns = since_ns_ = record.head.timestamp;
  begun_ = true;
  if (!closed_) facts_.last_ns = std::max<std::uint64_t>(facts_.last_ns, record.head.timestamp);
  switch (record.head.event) {
    case MAGNET_TCP_SEND:
    case MAGNET_TCP_RECV:
    case MAGNET_TCP_RETRANS:
      return record.ext.tcp.flags & kSyn ? see_handshake(record) : see_tcp(record);
    case MAGNET_SOCK_SEND:
      return see_write(record);
    case MAGNET_SOCK_CLOSE:
      if (!closed_) elapse(record.head.timestamp, limit_of(now_));
      closed_ = true;
      return;
    default:
      return;
  }
}

// There are neither windows nor data yet; what is waited for is an answer.
void SendState::see_handshake(const magnet_record_ext& record) {
  const bool again = record.head.event == MAGNET_TCP_RETRANS;
  facts_.retransmitted += again;
  elapse(record.head.timestamp, again ? Limit::loss : Limit::unknown);
}

void SendState::see_tcp(const magnet_record_ext& record) {
  const magnet_ext_tcp& tcp = record.ext.tcp;
  const auto size = static_cast<std::uint32_t>(std::max<std::int32_t>(record.head.size, 0));
  if (record.head.event == MAGNET_TCP_SEND && size > 0) learn_mss(size, tcp.gso_segs);
  const std::uint64_t cwnd = std::uint64_t{tcp.cwnd} * mss();
  const Shown before{tcp.in_flight, tcp.wqueue, tcp.snd_wnd, cwnd, tcp.ca_state};
  if (!shown_) elapse(record.head.timestamp, Limit::unknown);
  note_window(tcp.snd_wnd);
  note_congestion(tcp.ca_state, tcp.ssthresh);
  if (record.head.event == MAGNET_TCP_RETRANS) starved_for_loss();
  const Limit limit = limit_of(record.head.event == MAGNET_TCP_SEND ? waited(before) : before);
  show(before);
  elapse(record.head.timestamp, limit);
  note_rtt(record.head.timestamp, tcp.srtt_us);
  facts_.cwnd_min = facts_.cwnd_min ? std::min(facts_.cwnd_min, tcp.cwnd) : tcp.cwnd;
  facts_.cwnd_max = std::max(facts_.cwnd_max, tcp.cwnd);
  if (record.head.event == MAGNET_TCP_RETRANS) {
    facts_.retransmitted += std::max<std::uint32_t>(tcp.gso_segs, 1);
  } else if (record.head.event == MAGNET_TCP_SEND && size > 0 && is_new(tcp)) {
    const std::uint32_t sent = std::min(size, now_.unsent);
    now_.unsent -= sent;
    now_.in_flight += sent;
  } else if (record.head.event == MAGNET_TCP_RECV && (tcp.flags & kAck)) {
    // Before any call has returned: what was written by then is of calls that had.
    if (!written_end_ && una_) written_end_ = *una_ + tcp.in_flight + tcp.wqueue;
    const std::uint32_t news = una_ ? tcp.ack - *una_ : 0;
    if (!una_ || news <= std::uint32_t{1} << 30) una_ = tcp.ack;
    if (news <= std::uint32_t{1} << 30) acknowledge(news);
  }
}

// As TCP_SEND begins, what was written just now counts as unsent: it did not wait.
SendState::Shown SendState::waited(Shown before) const {
  const std::uint64_t all = std::uint64_t{before.in_flight} + before.unsent;
  const std::uint64_t known = std::uint64_t{now_.in_flight} + now_.unsent;
  if (shown_ && all > known)
    before.unsent -=
        static_cast<std::uint32_t>(std::min<std::uint64_t>(all - known, before.unsent));
  return before;
}

// Not a retransmission, as far as one knows what is acknowledged.
bool SendState::is_new(const magnet_ext_tcp& tcp) const {
  return !una_ || tcp.seq - *una_ >= tcp.in_flight;
}

// What an acknowledgement lets go is sent at once, as far as the windows allow: the records show it
// only where there is one of TCP_SEND.
void SendState::acknowledge(std::uint32_t bytes) {
  facts_.acked += bytes;
  if (bytes > 0) acked_ns_ = since_ns_;
  now_.in_flight -= std::min(bytes, now_.in_flight);
  transmit();
}

void SendState::transmit() {
  const std::uint64_t window = std::min<std::uint64_t>(now_.window, now_.cwnd);
  if (window <= now_.in_flight) return;
  const auto sent =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(now_.unsent, window - now_.in_flight));
  now_.unsent -= sent;
  now_.in_flight += sent;
}

void SendState::see_write(const magnet_record_ext& record) {
  const magnet_ext_sock& sock = record.ext.sock;
  const std::uint64_t time = record.head.timestamp;
  // A call that wrote much was shown by its segments while it lasted.
  elapse(time, limit_of(now_));
  wake(time);
  facts_.pid = sock.pid ? sock.pid : facts_.pid;
  facts_.send_buffer = std::max(facts_.send_buffer, sock.sndbuf);
  refused_ = record.head.size == -EAGAIN;
  facts_.refused += refused_;
  if (record.head.size <= 0) return;
  if (facts_.writes > 0)
    facts_.longest_gap_ns = std::max(facts_.longest_gap_ns, time - written_ns_);
  ++facts_.writes;
  facts_.written += static_cast<std::uint32_t>(record.head.size);
  written_ns_ = time;
  written_end_ = sock.seq;
  una_ = sock.seq - sock.wqueue;
  queue_ = sock.wqueue;
  now_.in_flight = std::min(now_.in_flight, sock.wqueue);
  now_.unsent = sock.wqueue - now_.in_flight;
  transmit();
}

void SendState::see(const fl_tcp_info& sample) {
  ++facts_.samples;
  if (!begun_) facts_.first_ns = since_ns_ = sample.timestamp;
  begun_ = true;
  if (!closed_) facts_.last_ns = std::max<std::uint64_t>(facts_.last_ns, sample.timestamp);
  facts_.mss = sample.mss && sample.mss <= kMssMost ? sample.mss : facts_.mss;
  // The segments' bytes where they are not all full; bytes_acked counts the SYN as one.
  const std::uint64_t gone = sample.bytes_retrans + sample.bytes_acked;
  const std::uint64_t bytes = sample.bytes_sent >= gone ? sample.bytes_sent - gone + 1 : UINT64_MAX;
  const std::uint64_t flight = std::min<std::uint64_t>({sample.unacked * mss(), bytes, UINT32_MAX});
  // Kernels that do not tell the window leave what records said.
  window_told_ |= sample.snd_wnd != 0;
  const std::uint32_t window = window_told_ ? sample.snd_wnd : now_.window;
  const Shown shown{static_cast<std::uint32_t>(flight),
                    sample.notsent,
                    window,
                    sample.cwnd * mss(),
                    sample.ca_state,
                    sample.unacked >= sample.cwnd};
  note_window(window);
  note_congestion(sample.ca_state, sample.ssthresh);
  if (sample.pacing_rate != kNotPaced) facts_.pacing_rate = sample.pacing_rate;
  if (!closed_ && facts_.records == 0) elapse_as_told(sample, shown);
  const Limit limit = limit_of(shown);
  show(shown);
  if (!closed_) elapse(sample.timestamp, limit);
  facts_.waiting = std::uint64_t{shown.in_flight} + shown.unsent;
  note_rtt(sample.timestamp, sample.rtt_us);
  if (sample.min_rtt_us != 0 && sample.min_rtt_us < facts_.rtt_min_us)
    facts_.rtt_min_us = sample.min_rtt_us;
  account(sample);
}

// Samples alone show moments; between two of them the kernel has counted what the receiver's window
// took.
void SendState::elapse_as_told(const fl_tcp_info& sample, const Shown& shown) {
  if (!sample_ || sample.rwnd_limited_us <= sample_->rwnd_limited_us) return;
  const std::uint64_t limited = (sample.rwnd_limited_us - sample_->rwnd_limited_us) * 1000;
  const std::uint64_t until = std::min<std::uint64_t>(since_ns_ + limited, sample.timestamp);
  elapse(until, shown.window >= facts_.window_max / 2 ? Limit::receive_window : Limit::receiver);
}

// The kernel's own account since the sample before, and what that says of the starved time.
void SendState::account(const fl_tcp_info& sample) {
  if (!first_sample_) first_sample_ = sample;
  if (sample_ && sample.sndbuf_limited_us >= sample_->sndbuf_limited_us) {
    limited_ns_ += (sample.sndbuf_limited_us - sample_->sndbuf_limited_us) * 1000;
    // Unless a call, an acknowledgement or a timeout is still to tell.
    const bool told = starved_.empty() || (starved_.back().blocked != Blocked::maybe &&
                                           acked_ns_ > starved_.front().from_ns);
    if (told) {
      settle_starved(limited_ns_);
      limited_ns_ = 0;
    }
    if (sample.bytes_acked > sample_->bytes_acked) acked_ns_ = sample.timestamp;
    if (sample.bytes_acked >= first_sample_->bytes_acked)
      facts_.acked =
          std::max<std::uint64_t>(facts_.acked, sample.bytes_acked - first_sample_->bytes_acked);
  }
  sample_ = sample;
  const auto since = [&](__u64 fl_tcp_info::*member) {
    return sample.*member > (*first_sample_).*member ? sample.*member - (*first_sample_).*member
                                                     : 0;
  };
  facts_.kernel_ns = since(&fl_tcp_info::timestamp);
  facts_.busy_us = since(&fl_tcp_info::busy_us);
  facts_.rwnd_limited_us = since(&fl_tcp_info::rwnd_limited_us);
  facts_.sndbuf_limited_us = since(&fl_tcp_info::sndbuf_limited_us);
}

void SendState::show(const Shown& shown) {
  now_ = shown;
  shown_ = true;
}

void SendState::note_window(std::uint32_t window) {
  facts_.zero_windows += window == 0 && (!shown_ || now_.window != 0);
  facts_.window_min = shown_ ? std::min(facts_.window_min, window) : window;
  facts_.window_max = std::max(facts_.window_max, window);
}

// Behind a loss, or a reduction that ECN (RFC 3168) or the own queue asked for, the window grows
// slowly, from a threshold that this has set; without one it was never cut, or the cut was taken
// back (RFC 4015, 5682).
void SendState::note_congestion(std::uint8_t ca_state, std::uint32_t ssthresh) {
  const bool cutting = ca_state >= kReduced;
  cut_ = cutting || (cut_ && ssthresh < kNoThreshold);
  facts_.reductions += ca_state == kReduced && now_.ca_state != kReduced;
  facts_.recoveries += ca_state == kRecovery && now_.ca_state != kRecovery;
  facts_.timeouts += ca_state == kLossState && now_.ca_state != kLossState;
}

void SendState::note_rtt(std::uint64_t time_ns, std::uint32_t srtt_us) {
  if (srtt_us == 0) return;
  facts_.rtt_min_us = facts_.rtt_min_us ? std::min(facts_.rtt_min_us, srtt_us) : srtt_us;
  facts_.rtt_max_us = std::max(facts_.rtt_max_us, srtt_us);
  LimitBin& bin = series_.at(time_ns);
  ++bin.rtt_samples;
  bin.rtt_sum_us += srtt_us;
}

Limit SendState::limit_of(const Shown& shown) const {
  if (!shown_ && shown.cwnd == 0) return Limit::unknown;
  if (shown.ca_state >= kRecovery && shown.in_flight > 0) return Limit::loss;
  if (shown.unsent == 0) return shown.in_flight == 0 ? Limit::idle : Limit::application;
  return limit_by_window(shown);
}

Limit SendState::limit_by_window(const Shown& shown) const {
  const std::uint64_t window = std::min<std::uint64_t>(shown.window, shown.cwnd);
  const bool all_of_it =
      std::uint64_t{shown.in_flight} + mss() > window || (shown.full && shown.cwnd < shown.window);
  const bool most_of_it = kUsedFrom * (shown.in_flight + mss()) > kUsedOf * window;
  if (!all_of_it && (!most_of_it || paced())) {
    // Less than a segment waits for an acknowledgement (RFC 896): the writes are small.
    if (shown.unsent < mss() && shown.in_flight > 0) return Limit::application;
    return paced() ? Limit::pacing : Limit::own_host;
  }
  if (shown.cwnd < shown.window) return cut_ ? Limit::cwnd_cut : Limit::cwnd;
  return shown.window >= facts_.window_max / 2 ? Limit::receive_window : Limit::receiver;
}

// TCP's own rate is 1.2 times what the congestion window gives in a round trip, or twice
// (tcp_pacing_ca_ratio, tcp_pacing_ss_ratio): a lower one was asked for, by SO_MAX_PACING_RATE or a
// congestion control that paces.
bool SendState::paced() const {
  if (!sample_ || sample_->pacing_rate == kNotPaced || sample_->pacing_rate == 0) return false;
  const double in_a_round = static_cast<double>(sample_->pacing_rate) * sample_->rtt_us / 1e6;
  return in_a_round < 1.1 * static_cast<double>(sample_->cwnd) * static_cast<double>(mss());
}

// Yes: send() said so, or a call goes on that has written past what calls have returned for. The
// kernel charges the buffer with about twice the bytes.
SendState::Blocked SendState::blocked() const {
  if (!una_ || !written_end_) return refused_ ? Blocked::yes : Blocked::no;
  const std::uint32_t end = *una_ + now_.in_flight + now_.unsent;
  const std::uint32_t beyond = end - *written_end_;
  if (refused_ || (beyond > kControlBytes && beyond < std::uint32_t{1} << 30)) return Blocked::yes;
  return std::uint64_t{queue_} * 2 >= facts_.send_buffer ? Blocked::maybe : Blocked::no;
}

// A call has returned: since an acknowledgement made room, or when the application liked. Until it
// runs, all may have been acknowledged.
void SendState::wake(std::uint64_t time_ns) {
  const bool by_room = acked_ns_ != 0 && time_ns - acked_ns_ <= kWakeNs;
  const bool waited = !starved_.empty() && starved_.back().blocked != Blocked::no;
  tell(by_room ? Blocked::yes : Blocked::no);
  if (!by_room || !waited || !quiet_since_ns_ || *quiet_since_ns_ < starved_.back().to_ns ||
      since_ns_ - *quiet_since_ns_ > kWakeNs)
    return;
  starved_.push_back({*quiet_since_ns_, since_ns_, Blocked::yes});
  quiet_since_ns_.reset();
}

// What ends by being sent again was waited for since the last acknowledgement.
void SendState::starved_for_loss() {
  for (Starved& one : starved_) {
    if (one.from_ns < acked_ns_) continue;
    add_time(series_, one.from_ns, one.to_ns, Limit::loss);
    one.to_ns = one.from_ns;
  }
}

void SendState::learn_mss(std::uint32_t size, std::uint16_t segments) {
  const std::uint32_t each = segments > 1 ? (size + segments - 1) / segments : size;
  if (facts_.samples == 0) facts_.mss = std::max(facts_.mss, std::min(each, kMssMost));
}

std::uint64_t SendState::mss() const {
  return facts_.mss ? facts_.mss : kMssUsual;
}

void SendState::tell(Blocked blocked) {
  for (Starved& one : starved_) {
    if (one.blocked == Blocked::maybe) one.blocked = blocked;
  }
}

// A call that goes on, and began while the buffer was full, has waited from the start.
void SendState::starve(std::uint64_t until_ns) {
  if (starved_.size() == kStarvedMost ||
      (!starved_.empty() && until_ns - starved_.front().from_ns > kSettleNs))
    settle_starved(0);
  const Blocked now = blocked();
  if (now == Blocked::yes) tell(Blocked::yes);
  starved_.push_back({since_ns_, until_ns, now});
}

void SendState::elapse(std::uint64_t until_ns, Limit limit) {
  if (until_ns <= since_ns_) return;
  if (limit != Limit::idle) end_quiet(since_ns_);
  if (limit == Limit::idle) {
    if (!quiet_since_ns_) quiet_since_ns_ = since_ns_;
  } else if (limit == Limit::application) {
    starve(until_ns);
  } else {
    add_time(series_, since_ns_, until_ns, limit);
  }
  since_ns_ = until_ns;
}

void SendState::end_quiet(std::uint64_t until_ns) {
  if (!quiet_since_ns_) return;
  if (until_ns - *quiet_since_ns_ > kWakeNs) tell(Blocked::no);
  add_time(series_, *quiet_since_ns_, until_ns,
           until_ns - *quiet_since_ns_ >= kIdleNs ? Limit::idle : Limit::application);
  quiet_since_ns_.reset();
}

// blocked_ns: for how long, by the kernel's account, the application waited for room. The kernel
// counts only while nothing else held the socket back when it last sent, so that the records may
// show more.
void SendState::settle_starved(std::uint64_t blocked_ns) {
  for (const Starved& one : starved_) {
    if (one.blocked == Blocked::yes) blocked_ns -= std::min(blocked_ns, one.to_ns - one.from_ns);
  }
  for (const Starved& one : starved_) {
    const std::uint64_t all = one.to_ns - one.from_ns;
    const bool blocked = one.blocked == Blocked::yes;
    const std::uint64_t part = blocked ? all : std::min(blocked_ns, all);
    if (!blocked) blocked_ns -= part;
    add_time(series_, one.from_ns, one.from_ns + part, Limit::send_buffer);
    add_time(series_, one.from_ns + part, one.to_ns, Limit::application);
  }
  starved_.clear();
}

void SendState::lose(std::uint64_t from_ns, std::uint64_t to_ns) {
  if (!begun_ || closed_) return;
  facts_.last_ns = std::max(facts_.last_ns, to_ns);
  elapse(std::min(from_ns, to_ns), limit_of(now_));
  elapse(to_ns, Limit::unknown);
}

void SendState::finish() {
  if (!closed_) elapse(facts_.last_ns, limit_of(now_));
  end_quiet(since_ns_);
  settle_starved(limited_ns_);
}

}  // namespace fieldline::analysis
