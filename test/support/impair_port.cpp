// SPDX-License-Identifier: Apache-2.0
#include "test/support/impair_port.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace fieldline::impair {
namespace {

constexpr unsigned kBatch = 64;
constexpr unsigned kBatchesAtOnce = 16;  // then the other direction gets its turn
constexpr std::size_t kFrameMax = kVirtioHeader + ETH_HLEN + 65536 + 64;
constexpr int kSocketBuffer = 64 << 20;

Result<void> set(int fd, int level, int option, int value, const char* name) {
  if (::setsockopt(fd, level, option, &value, sizeof value) < 0) return fail_errno(name);
  return {};
}

}  // namespace

Result<std::unique_ptr<Port>> Port::open(const std::string& interface) {
  auto port = std::make_unique<Port>();
  const unsigned index = ::if_nametoindex(interface.c_str());
  if (index == 0) return fail_errno("interface " + interface);
  // Protocol 0 until it is bound: frames of other interfaces never enter the queue.
  port->socket_ = Fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!port->socket_) return fail_errno("packet socket on " + interface);
  const int fd = port->socket_.get();
  const std::array<std::pair<std::array<int, 3>, const char*>, 4> wanted{{
      {{SOL_PACKET, PACKET_IGNORE_OUTGOING, 1}, "PACKET_IGNORE_OUTGOING"},
      {{SOL_PACKET, PACKET_VNET_HDR, 1}, "PACKET_VNET_HDR"},
      {{SOL_SOCKET, SO_RCVBUFFORCE, kSocketBuffer}, "SO_RCVBUFFORCE"},
      {{SOL_SOCKET, SO_SNDBUFFORCE, kSocketBuffer}, "SO_SNDBUFFORCE"},
  }};
  for (const auto& [option, name] : wanted) {
    auto done = set(fd, option[0], option[1], option[2], name);
    if (!done) return std::move(done.error()).in(interface);
  }
  packet_mreq promiscuous{};
  promiscuous.mr_ifindex = static_cast<int>(index);
  promiscuous.mr_type = PACKET_MR_PROMISC;
  if (::setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous) < 0) {
    return fail_errno(interface + ": promiscuous mode");
  }
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(index);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    return fail_errno(interface + ": bind");
  }
  port->batch_ = std::make_unique<Bytes[]>(kBatch);
  for (unsigned i = 0; i < kBatch; ++i) port->batch_[i].resize(kFrameMax);
  return port;
}

void Port::receive(std::uint64_t due_ns, const std::function<void(Frame)>& on_frame) {
  std::array<iovec, kBatch> pieces;
  std::array<mmsghdr, kBatch> messages{};
  for (unsigned i = 0; i < kBatch; ++i) {
    pieces[i] = {batch_[i].data(), batch_[i].size()};
    messages[i].msg_hdr.msg_iov = &pieces[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  for (unsigned round = 0; round < kBatchesAtOnce; ++round) {
    const int got = ::recvmmsg(socket_.get(), messages.data(), kBatch, MSG_DONTWAIT, nullptr);
    if (got <= 0) return;
    for (unsigned i = 0; i < static_cast<unsigned>(got); ++i) {
      const bool cut = (messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
      const std::size_t length = messages[i].msg_len;
      if (cut || length <= kVirtioHeader) {
        ++lost_receive_;
        continue;
      }
      const auto first = batch_[i].begin();
      on_frame({Bytes(first, first + static_cast<std::ptrdiff_t>(length)), due_ns});
    }
    if (static_cast<unsigned>(got) < kBatch) return;
  }
}

std::size_t Port::send(std::deque<Frame>& frames, std::size_t count) {
  std::size_t taken = 0;
  while (count > 0) {
    const auto size = static_cast<unsigned>(std::min<std::size_t>(count, kBatch));
    std::array<iovec, kBatch> pieces;
    std::array<mmsghdr, kBatch> messages{};
    for (unsigned i = 0; i < size; ++i) {
      pieces[i] = {frames[i].raw.data(), frames[i].raw.size()};
      messages[i].msg_hdr.msg_iov = &pieces[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int sent = ::sendmmsg(socket_.get(), messages.data(), size, 0);
    if (sent < 0 && errno == EINTR) continue;
    // The first frame was refused: it is lost, and the others get their own chance.
    const std::size_t gone = sent > 0 ? static_cast<std::size_t>(sent) : 1;
    if (sent > 0) {
      taken += gone;
    } else {
      ++lost_send_;
    }
    frames.erase(frames.begin(), frames.begin() + static_cast<std::ptrdiff_t>(gone));
    count -= gone;
  }
  return taken;
}

void Port::count_losses() {
  tpacket_stats stats{};
  socklen_t length = sizeof stats;
  if (::getsockopt(socket_.get(), SOL_PACKET, PACKET_STATISTICS, &stats, &length) == 0) {
    lost_receive_ += stats.tp_drops;
  }
}

}  // namespace fieldline::impair
