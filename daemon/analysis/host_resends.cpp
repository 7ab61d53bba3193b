// SPDX-License-Identifier: Apache-2.0
#include "analysis/host_resends.h"

#include <netinet/in.h>

#include <algorithm>

#include "analysis/sequence.h"

namespace fieldline::analysis {
namespace {

constexpr std::uint8_t kSyn = 2;
constexpr std::uint64_t kJump = 1 << 26;  // no gap is as long
constexpr std::size_t kSocketsMost = 16'384;
constexpr std::uint64_t kJustNowNs = 1'000'000;
constexpr std::size_t kFilledMost = 64;

std::uint32_t length_of(const magnet_record_ext& record) {
  return static_cast<std::uint32_t>(std::max<std::int32_t>(record.head.size, 0));
}

}  // namespace

void HostResends::see(const magnet_record_ext& record) {
  const std::uint32_t event = record.head.event;
  if (event != MAGNET_TCP_RETRANS && event != MAGNET_DEV_SEND) return;
  const std::uint64_t cookie = record.head.sockid;
  if (cookie == 0 || (!sockets_.contains(cookie) && sockets_.size() >= kSocketsMost)) return;
  if (event == MAGNET_TCP_RETRANS) {
    resend(sockets_[cookie], record);
  } else if (record.ext.packet.protocol == IPPROTO_TCP && record.ext.packet.payload > 0) {
    leave(sockets_[cookie], record);
  }
}

void HostResends::resend(Socket& socket, const magnet_record_ext& record) {
  const magnet_ext_tcp& tcp = record.ext.tcp;
  const std::uint32_t length = length_of(record);
  if (resent_.size() < kMost)
    resent_.push_back({tcp.local_port, tcp.peer_port, tcp.seq, length, tcp.ca_state});
  if (!socket.started) return;
  const std::uint64_t begin = position(socket.high, tcp.seq), end = begin + length;
  auto at = socket.gaps.upper_bound(begin);
  if (at != socket.gaps.begin()) --at;
  while (at != socket.gaps.end() && at->first < end) {
    const auto [from, gap] = *at;
    if (gap.end <= begin || gap.again) {
      ++at;
      continue;
    }
    at = socket.gaps.erase(at);
    const std::uint64_t low = std::max(from, begin), high = std::min(gap.end, end);
    if (from < low) socket.gaps.emplace(from, Gap{low, false});
    if (high < gap.end) at = socket.gaps.emplace(high, Gap{gap.end, false}).first;
    socket.gaps.emplace(low, Gap{high, true});
  }
  for (const Filled& one : socket.filled) {
    if (one.begin < end && one.end > begin && record.head.timestamp - one.time <= kJustNowNs)
      keep(socket, {tcp.local_port, tcp.peer_port, 0, 0, one.time}, std::max(one.begin, begin),
           std::min(one.end, end));
  }
  socket.filled.clear();
}

void HostResends::leave(Socket& socket, const magnet_record_ext& record) {
  const magnet_ext_packet& packet = record.ext.packet;
  const std::uint32_t first = packet.seq + ((packet.flags & kSyn) ? 1 : 0);
  const std::uint64_t begin = socket.started ? position(socket.high, first) : first_position(first);
  const std::uint64_t end = begin + packet.payload;
  if (!socket.started || (begin > socket.high && begin - socket.high > kJump)) {
    socket = Socket{true, end, {}, {}, {}};
    return;
  }
  if (begin > socket.high) {
    if (socket.gaps.size() < kGapsMost) socket.gaps[socket.high] = {begin, false};
  } else {
    leave_again(socket, begin, end);
    fill(socket, begin, end, record);
  }
  socket.high = std::max(socket.high, end);
}

void HostResends::fill(Socket& socket, std::uint64_t begin, std::uint64_t end,
                       const magnet_record_ext& record) {
  const magnet_ext_packet& packet = record.ext.packet;
  auto at = socket.gaps.upper_bound(begin);
  if (at != socket.gaps.begin()) --at;
  while (at != socket.gaps.end() && at->first < end) {
    const auto [from, gap] = *at;
    if (gap.end <= begin) {
      ++at;
      continue;
    }
    at = socket.gaps.erase(at);
    const std::uint64_t low = std::max(from, begin), high = std::min(gap.end, end);
    if (gap.again) {
      keep(socket, {packet.local_port, packet.peer_port, 0, 0, record.head.timestamp}, low, high);
    } else {
      if (socket.filled.size() == kFilledMost) socket.filled.clear();
      socket.filled.push_back({low, high, record.head.timestamp});
    }
    if (from < low) socket.gaps.emplace(from, Gap{low, gap.again});
    if (high < gap.end) at = socket.gaps.emplace(high, gap).first;
  }
}

void HostResends::keep(Socket& socket, const NeverLeft& one, std::uint64_t begin,
                       std::uint64_t end) {
  if (never_left_.size() >= kMost) return;
  socket.kept[begin] = never_left_.size();
  never_left_.push_back(one);
  never_left_.back().sequence = static_cast<std::uint32_t>(begin);
  never_left_.back().length = static_cast<std::uint32_t>(end - begin);
}

// What is kept does not overlap: it was in a gap, which is closed by that.
void HostResends::leave_again(const Socket& socket, std::uint64_t begin, std::uint64_t end) {
  for (auto at = socket.kept.lower_bound(end); at != socket.kept.begin();) {
    NeverLeft& one = never_left_[(--at)->second];
    if (at->first + one.length <= begin) return;
    ++one.left_again;
  }
}

// A clock that was set back makes this be called for every record: it must cost nothing then.
void HostResends::lose() {
  sockets_.clear();
}

}  // namespace fieldline::analysis
