// SPDX-License-Identifier: Apache-2.0
#include "base/tcp_sample.h"

#include <linux/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace fieldline {

fl_tcp_info tcp_sample(ByteView info, const DiagSocket& socket, std::uint64_t utc_ns) {
  tcp_info kernel{};
  std::memcpy(&kernel, info.data(), std::min(info.size(), sizeof kernel));
  fl_tcp_info record{};
  record.sockid = socket.cookie;
  record.timestamp = utc_ns;
  record.bytes_acked = kernel.tcpi_bytes_acked;
  record.bytes_received = kernel.tcpi_bytes_received;
  record.bytes_sent = kernel.tcpi_bytes_sent;
  record.bytes_retrans = kernel.tcpi_bytes_retrans;
  record.delivery_rate = kernel.tcpi_delivery_rate;
  record.pacing_rate = kernel.tcpi_pacing_rate;
  record.busy_us = kernel.tcpi_busy_time;
  record.rwnd_limited_us = kernel.tcpi_rwnd_limited;
  record.sndbuf_limited_us = kernel.tcpi_sndbuf_limited;
  record.rtt_us = kernel.tcpi_rtt;
  record.rttvar_us = kernel.tcpi_rttvar;
  record.min_rtt_us = kernel.tcpi_min_rtt;
  record.cwnd = kernel.tcpi_snd_cwnd;
  record.ssthresh = kernel.tcpi_snd_ssthresh;
  record.snd_wnd = kernel.tcpi_snd_wnd;
  record.unacked = kernel.tcpi_unacked;
  record.lost = kernel.tcpi_lost;
  record.retrans = kernel.tcpi_retrans;
  record.total_retrans = kernel.tcpi_total_retrans;
  record.notsent = kernel.tcpi_notsent_bytes;
  record.mss = kernel.tcpi_snd_mss;
  record.local_port = socket.local_port;
  record.peer_port = socket.remote_port;
  record.state = kernel.tcpi_state;
  record.ca_state = kernel.tcpi_ca_state;
  record.family = static_cast<__u8>(socket.is_v6 ? AF_INET6 : AF_INET);
  return record;
}

}  // namespace fieldline
