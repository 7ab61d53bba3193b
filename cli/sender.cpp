// SPDX-License-Identifier: Apache-2.0
#include "cli/sender.h"

#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <sodium.h>

#include <algorithm>
#include <cerrno>

namespace fieldline::cli {

namespace {

// RFC 1071, over an even or odd number of bytes; the sum is in network byte order as it stands in
// memory.
std::uint16_t internet_checksum(ByteView bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    std::uint32_t high = bytes[i], low = i + 1 < bytes.size() ? bytes[i + 1] : 0;
    sum += high << 8 | low;
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

// Nothing is read from this socket: answers shall not fill its buffer.
void refuse_answers(int fd, bool v4) {
  if (v4) {
    icmp_filter none{};
    none.data = 0xffffffff;
    ::setsockopt(fd, SOL_RAW, ICMP_FILTER, &none, sizeof none);
  } else {
    icmp6_filter none;
    ICMP6_FILTER_SETBLOCKALL(&none);
    ::setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &none, sizeof none);
  }
}

// Raw where the process may; else the kernel's ping socket, which needs no privilege.
Result<Fd> open_icmp(int family) {
  int protocol = family == AF_INET ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6};
  Fd raw(::socket(family, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (raw) {
    refuse_answers(raw.get(), family == AF_INET);
    return raw;
  }
  Fd ping(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, protocol));
  if (ping) return ping;
  return fail_errno(
      "opening an ICMP socket; run as root, set sysctl net.ipv4.ping_group_range, or leave out "
      "--icmp");
}

Result<void> bind_from(int fd, const Address& local, int family, int traffic_class) {
  auto from = socket_address(local, 0);
  if (::bind(fd, from.get(), from.size) != 0)
    return fail_errno("sending from " + local.to_string() + "; is it an address of this host?");
  int level = family == AF_INET ? int{IPPROTO_IP} : int{IPPROTO_IPV6};
  int name = family == AF_INET ? IP_TOS : IPV6_TCLASS;
  if (traffic_class != 0 &&
      ::setsockopt(fd, level, name, &traffic_class, sizeof traffic_class) != 0)
    return fail_errno("setting the flow's DSCP");
  return {};
}

Result<Fd> open_udp(int family) {
  Fd fd(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("opening a UDP socket");
  return fd;
}

}  // namespace

Address SocketAddress::address() const {
  Address address;
  if (storage.ss_family == AF_INET) {
    sockaddr_in in;
    std::memcpy(&in, &storage, sizeof in);
    address.bytes[10] = address.bytes[11] = 0xff;
    std::memcpy(address.bytes.data() + 12, &in.sin_addr, 4);
  } else if (storage.ss_family == AF_INET6) {
    sockaddr_in6 in6;
    std::memcpy(&in6, &storage, sizeof in6);
    std::memcpy(address.bytes.data(), &in6.sin6_addr, 16);
  }
  return address;
}

std::uint16_t SocketAddress::port() const {
  sockaddr_in in;  // the port stands at the same place in both
  std::memcpy(&in, &storage, sizeof in);
  return ntohs(in.sin_port);
}

SocketAddress socket_address(const Address& address, std::uint16_t port) {
  SocketAddress out;
  if (address.is_v4()) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    std::memcpy(&in.sin_addr, address.bytes.data() + 12, 4);
    std::memcpy(&out.storage, &in, sizeof in);
    out.size = sizeof in;
  } else {
    sockaddr_in6 in6{};
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(port);
    std::memcpy(&in6.sin6_addr, address.bytes.data(), 16);
    std::memcpy(&out.storage, &in6, sizeof in6);
    out.size = sizeof in6;
  }
  return out;
}

// Not connected: a connected UDP socket would report the host's "port unreachable" on the next
// send, instead of sending.
Result<Sender> Sender::open(const Address& local, const Address& remote,
                            const SenderOptions& options) {
  Sender sender;
  sender.icmp_ = options.icmp;
  sender.to_ = socket_address(remote, options.icmp ? 0 : options.port);
  const int family = sender.to_.family();
  if (options.icmp) randombytes_buf(&sender.echo_id_, sizeof sender.echo_id_);
  const unsigned sockets = options.icmp ? 1 : std::max(options.spray, 1u);
  while (sender.fds_.size() < sockets) {
    auto fd = options.icmp ? open_icmp(family) : open_udp(family);
    if (!fd) return fd.error();
    if (auto bound = bind_from(fd->get(), local, family, options.traffic_class); !bound)
      return bound.error();
    sender.fds_.push_back(std::move(*fd));
  }
  return sender;
}

// The kernel fills in ICMPv6's checksum, and a ping socket's identifier.
Bytes Sender::echo_request(ByteView trigger) {
  bool v4 = to_.family() == AF_INET;
  icmphdr head{};
  head.type = v4 ? std::uint8_t{ICMP_ECHO} : std::uint8_t{ICMP6_ECHO_REQUEST};
  head.un.echo.id = echo_id_;
  head.un.echo.sequence = htons(++echo_sequence_);
  Bytes packet;
  append_struct(packet, head);
  append(packet, trigger);
  if (v4) {
    std::uint16_t sum = internet_checksum(packet);
    packet[2] = static_cast<std::uint8_t>(sum >> 8);
    packet[3] = static_cast<std::uint8_t>(sum);
  }
  return packet;
}

Result<void> Sender::send(ByteView trigger) {
  Bytes packet = icmp_ ? echo_request(trigger) : Bytes(trigger.begin(), trigger.end());
  Result<void> all;  // one path that is down does not keep it from the others
  for (const Fd& fd : fds_) {
    ssize_t n = 0;
    do {
      n = ::sendto(fd.get(), packet.data(), packet.size(), 0, to_.get(), to_.size);
    } while (n < 0 && errno == EINTR);
    if (n < 0) all = fail_errno("sending a trigger to " + to_.address().to_string());
    if (n >= 0 && n != static_cast<ssize_t>(packet.size()))
      all = fail(Code::io, "a trigger was sent in part");
  }
  return all;
}

}  // namespace fieldline::cli
