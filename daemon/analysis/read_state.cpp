// SPDX-License-Identifier: Apache-2.0
#include "analysis/read_state.h"

#include <algorithm>

#include "analysis/sequence.h"

namespace fieldline::analysis {
namespace {

// Of the receive buffer the kernel gives about half to what is not yet read, the rest to its own
// overhead (tcp_adv_win_scale = 1): a quarter unread is a window that is half closed.
constexpr std::uint32_t kMuchOf = 4;

}  // namespace

void ReadState::see(const magnet_record_ext& record) {
  elapse(record.head.timestamp);
  if (record.head.size <= 0) return;
  const auto size = static_cast<std::uint32_t>(record.head.size);
  if (record.head.event == MAGNET_TCP_RECV) {
    const std::uint32_t end = record.ext.tcp.seq + size;
    if (!came_ || before(*came_, end)) came_ = end;
    return;
  }
  if (record.head.event != MAGNET_SOCK_RECV) return;
  const magnet_ext_sock& sock = record.ext.sock;
  if (facts_.reads > 0)
    facts_.longest_gap_ns =
        std::max<std::uint64_t>(facts_.longest_gap_ns, record.head.timestamp - read_ns_);
  read_ns_ = record.head.timestamp;
  ++facts_.reads;
  facts_.read += size;
  facts_.pid = sock.pid ? sock.pid : facts_.pid;
  facts_.receive_buffer = std::max(facts_.receive_buffer, sock.rcvbuf);
  read_to_ = sock.seq;
  came_ = sock.seq + sock.rqueue;
}

void ReadState::elapse(std::uint64_t until_ns) {
  const std::uint64_t from_ns = since_ns_;
  since_ns_ = std::max(since_ns_, until_ns);
  if (!came_ || !read_to_ || from_ns == 0 || until_ns <= from_ns) return;
  const std::uint32_t unread = *came_ - *read_to_;
  if (unread > std::uint32_t{1} << 30) return;
  facts_.unread_max = std::max(facts_.unread_max, unread);
  const bool much = std::uint64_t{unread} * kMuchOf > facts_.receive_buffer;
  facts_.known_ns += until_ns - from_ns;
  facts_.waiting_ns += much ? until_ns - from_ns : 0;
  add_over(bins_, from_ns, until_ns, [&](ReadBin& bin, std::uint64_t part) {
    bin.known_ns += part;
    bin.waiting_ns += much ? part : 0;
  });
}

std::optional<double> ReadState::waiting(std::uint64_t from_ns, std::uint64_t to_ns) const {
  std::uint64_t waiting = 0, known = 0;
  for_overlap(bins_, from_ns, to_ns, [&](const ReadBin& bin) {
    waiting += bin.waiting_ns;
    known += bin.known_ns;
  });
  if (known == 0) return {};
  return static_cast<double>(waiting) / static_cast<double>(known);
}

}  // namespace fieldline::analysis
