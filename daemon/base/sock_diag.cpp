// SPDX-License-Identifier: Apache-2.0
#include "base/sock_diag.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace fieldline {

namespace {

constexpr int kDumpTries = 5;

constexpr std::uint32_t bit(int state) {
  return 1u << state;
}
// A connected UDP socket is in TCP_ESTABLISHED, an unconnected one in TCP_CLOSE.
constexpr std::uint32_t kConnected = bit(TCP_ESTABLISHED) | bit(TCP_SYN_SENT) | bit(TCP_SYN_RECV) |
                                     bit(TCP_FIN_WAIT1) | bit(TCP_FIN_WAIT2) | bit(TCP_CLOSE_WAIT) |
                                     bit(TCP_LAST_ACK) | bit(TCP_CLOSING);

Address address_of(int family, const std::uint32_t* words) {
  Address address;
  if (family == AF_INET6) {
    std::memcpy(address.bytes.data(), words, 16);
  } else if (words[0] != 0) {
    address.bytes[10] = address.bytes[11] = 0xff;
    std::memcpy(address.bytes.data() + 12, words, 4);
  }
  return address;
}

// The attributes behind a message's fixed part; what does not fit is left out.
template <class OnAttribute>
void each_attribute(ByteView attributes, OnAttribute&& on_attribute) {
  while (attributes.size() >= sizeof(rtattr)) {
    rtattr head;
    std::memcpy(&head, attributes.data(), sizeof head);
    if (head.rta_len < sizeof head || head.rta_len > attributes.size()) return;
    on_attribute(head.rta_type, attributes.subspan(sizeof head, head.rta_len - sizeof head));
    attributes =
        attributes.subspan(std::min<std::size_t>(RTA_ALIGN(head.rta_len), attributes.size()));
  }
}

DiagSocket socket_of(const inet_diag_msg& message, int protocol, ByteView attributes) {
  DiagSocket socket;
  socket.protocol = static_cast<std::uint8_t>(protocol);
  socket.local = address_of(message.idiag_family, message.id.idiag_src);
  socket.remote = address_of(message.idiag_family, message.id.idiag_dst);
  socket.local_port = ntohs(message.id.idiag_sport);
  socket.remote_port = ntohs(message.id.idiag_dport);
  socket.cookie =
      static_cast<std::uint64_t>(message.id.idiag_cookie[1]) << 32 | message.id.idiag_cookie[0];
  socket.uid = message.idiag_uid;
  socket.inode = message.idiag_inode;
  socket.interface = message.id.idiag_if;
  socket.state = message.idiag_state;
  socket.is_v6 = message.idiag_family == AF_INET6;
  each_attribute(attributes, [&](std::uint16_t type, ByteView value) {
    bool wanted = type == INET_DIAG_TOS || type == INET_DIAG_TCLASS;
    if (wanted && !value.empty() && value[0] != 0) socket.tos = value[0];
  });
  return socket;
}

// The kernel's filter for one cgroup (Linux 5.9): on to the end if it is that, else 4 bytes behind
// it, which says no.
Bytes only_cgroup(std::uint64_t id) {
  constexpr std::uint8_t kSize = sizeof(inet_diag_bc_op) + sizeof id;
  Bytes attribute;
  append_struct(attribute, rtattr{sizeof(rtattr) + kSize, INET_DIAG_REQ_BYTECODE});
  append_struct(attribute, inet_diag_bc_op{INET_DIAG_BC_CGROUP_COND, kSize, kSize + 4});
  append_struct(attribute, id);
  return attribute;
}

void put_address(const Address& from, bool is_v6, std::uint32_t* words) {
  if (is_v6) {
    std::memcpy(words, from.bytes.data(), 16);
  } else {
    std::memcpy(words, from.bytes.data() + 12, 4);
  }
}

}  // namespace

Result<SockDiag> SockDiag::open() {
  Fd fd(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!fd) return fail_errno("opening a sock_diag socket");
  return SockDiag(std::move(fd));
}

Result<void> SockDiag::ask(const inet_diag_req_v2& body, bool dump, ByteView attributes) {
  nlmsghdr head{};
  head.nlmsg_len = static_cast<__u32>(sizeof head + sizeof body + attributes.size());
  head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  head.nlmsg_flags = static_cast<__u16>(dump ? NLM_F_REQUEST | NLM_F_DUMP : NLM_F_REQUEST);
  head.nlmsg_seq = ++sequence_;
  Bytes request;
  append_struct(request, head);
  append_struct(request, body);
  append(request, attributes);
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (::sendto(fd_.get(), request.data(), request.size(), 0, reinterpret_cast<sockaddr*>(&kernel),
               sizeof kernel) < 0) {
    return fail_errno("asking the kernel for sockets");
  }
  return {};
}

// One datagram of netlink messages. Those of an older question, which was given up, are passed
// over.
Result<SockDiag::Turn> SockDiag::take(ByteView bytes, bool dump,
                                      const OnMessage& on_message) const {
  Turn turn;
  while (bytes.size() >= sizeof(nlmsghdr)) {
    nlmsghdr head;
    std::memcpy(&head, bytes.data(), sizeof head);
    if (head.nlmsg_len < sizeof head || head.nlmsg_len > bytes.size()) {
      return fail(Code::truncated,
                  "sock_diag: a message of " + std::to_string(head.nlmsg_len) + " bytes is cut");
    }
    ByteView body = bytes.subspan(sizeof head, head.nlmsg_len - sizeof head);
    bytes = bytes.subspan(std::min<std::size_t>(NLMSG_ALIGN(head.nlmsg_len), bytes.size()));
    if (head.nlmsg_seq != sequence_) continue;
    if ((head.nlmsg_flags & NLM_F_DUMP_INTR) != 0) turn.interrupted = true;
    if (head.nlmsg_type == NLMSG_DONE) turn.done = true;
    if (head.nlmsg_type == NLMSG_ERROR) {
      int error = 0;
      if (body.size() >= sizeof error) std::memcpy(&error, body.data(), sizeof error);
      errno = -error;
      if (dump && errno == ENOENT) {
        return fail(
            Code::unsupported,
            "the kernel lists no sockets: load its modules (modprobe -a tcp_diag udp_diag)");
      }
      if (errno == ENOENT || errno == ESTALE) return fail(Code::not_found, "that socket is gone");
      return fail_errno("sock_diag");
    }
    if (head.nlmsg_type == SOCK_DIAG_BY_FAMILY && body.size() >= sizeof(inet_diag_msg)) {
      on_message(body);
      if ((head.nlmsg_flags & NLM_F_MULTI) == 0) turn.done = true;
    }
  }
  return turn;
}

Result<bool> SockDiag::receive(bool dump, const OnMessage& on_message) {
  Bytes buffer(dump ? 65536 : 8192);
  for (bool interrupted = false;;) {
    ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("reading sockets from the kernel");
    auto turn = take(ByteView(buffer).first(static_cast<std::size_t>(n)), dump, on_message);
    if (!turn) return turn.error();
    interrupted = interrupted || turn->interrupted;
    if (turn->done) return !interrupted;
  }
}

// A dump that the kernel marks as interrupted may miss sockets; the last try is taken as it is.
Result<std::vector<DiagSocket>> SockDiag::sockets(int family, int protocol, bool unconnected,
                                                  std::optional<std::uint64_t> cgroup) {
  const Bytes filter = cgroup ? only_cgroup(*cgroup) : Bytes();
  inet_diag_req_v2 request{};
  request.sdiag_family = static_cast<std::uint8_t>(family);
  request.sdiag_protocol = static_cast<std::uint8_t>(protocol);
  request.idiag_ext = 1 << (INET_DIAG_TOS - 1) | 1 << (INET_DIAG_TCLASS - 1);
  request.idiag_states =
      unconnected && protocol == IPPROTO_UDP ? kConnected | bit(TCP_CLOSE) : kConnected;
  for (int tries = 1;; ++tries) {
    std::vector<DiagSocket> found;
    if (auto asked = ask(request, true, filter); !asked) return asked.error();
    auto whole = receive(true, [&](ByteView body) {
      inet_diag_msg message;
      std::memcpy(&message, body.data(), sizeof message);
      found.push_back(socket_of(message, protocol, body.subspan(sizeof message)));
    });
    if (!whole) return whole.error();
    if (*whole || tries == kDumpTries) return found;
  }
}

// Of UDP the kernel's question names the peer as its source.
Result<void> SockDiag::ask_for(const DiagSocket& socket, std::uint8_t extensions) {
  inet_diag_req_v2 request{};
  request.sdiag_family = socket.is_v6 ? AF_INET6 : AF_INET;
  request.sdiag_protocol = socket.protocol;
  request.idiag_ext = extensions;
  request.idiag_states = ~0u;
  auto* local = request.id.idiag_src;
  auto* remote = request.id.idiag_dst;
  request.id.idiag_sport = htons(socket.local_port);
  request.id.idiag_dport = htons(socket.remote_port);
  if (socket.protocol == IPPROTO_UDP) {
    std::swap(local, remote);
    std::swap(request.id.idiag_sport, request.id.idiag_dport);
  }
  put_address(socket.local, socket.is_v6, local);
  put_address(socket.remote, socket.is_v6, remote);
  request.id.idiag_if = socket.interface;
  request.id.idiag_cookie[0] = static_cast<std::uint32_t>(socket.cookie);
  request.id.idiag_cookie[1] = static_cast<std::uint32_t>(socket.cookie >> 32);
  return ask(request, false);
}

Result<std::optional<DiagSocket>> SockDiag::socket(const DiagSocket& wanted) {
  if (auto asked = ask_for(wanted, 0); !asked) return asked.error();
  std::optional<DiagSocket> found;
  auto received = receive(false, [&](ByteView body) {
    inet_diag_msg message;
    std::memcpy(&message, body.data(), sizeof message);
    found = socket_of(message, wanted.protocol, body.subspan(sizeof message));
  });
  if (!received && received.error().code == Code::not_found) return std::optional<DiagSocket>();
  if (!received) return received.error();
  if (found && found->cookie != wanted.cookie) found.reset();
  return found;
}

Result<std::optional<Bytes>> SockDiag::tcp_info(const DiagSocket& socket) {
  if (auto asked = ask_for(socket, 1 << (INET_DIAG_INFO - 1)); !asked) return asked.error();
  std::optional<Bytes> info;
  auto received = receive(false, [&](ByteView body) {
    each_attribute(body.subspan(sizeof(inet_diag_msg)), [&](std::uint16_t type, ByteView value) {
      if (type == INET_DIAG_INFO) info = Bytes(value.begin(), value.end());
    });
  });
  if (!received && received.error().code == Code::not_found) return std::optional<Bytes>();
  if (!received) return received.error();
  return info;
}

}  // namespace fieldline
