// SPDX-License-Identifier: Apache-2.0
#include "source/netlink.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/fd.h"

namespace fieldline::source::netlink {
namespace {

// Hands out the messages of one datagram; true when the answer is complete.
Result<bool> read_datagram(ByteView datagram, const OnMessage& on_message) {
  while (!datagram.empty()) {
    ByteReader reader(datagram);
    auto header = reader.take_struct<nlmsghdr>();
    if (!header || header->nlmsg_len < sizeof(nlmsghdr) || header->nlmsg_len > datagram.size()) {
      return fail(Code::truncated, "a netlink answer ends early");
    }
    ByteView body = datagram.subspan(sizeof(nlmsghdr), header->nlmsg_len - sizeof(nlmsghdr));
    if (header->nlmsg_type == NLMSG_DONE) return true;
    if (header->nlmsg_type == NLMSG_ERROR) {
      auto error = ByteReader(body).take_struct<nlmsgerr>();
      if (error && error->error == 0) return true;  // an acknowledgement
      errno = error ? -error->error : EPROTO;
      return fail_errno("asking the kernel by netlink");
    }
    on_message(header->nlmsg_type, body);
    datagram =
        datagram.subspan(std::min<std::size_t>(datagram.size(), NLMSG_ALIGN(header->nlmsg_len)));
  }
  return false;
}

template <class Body>
Result<void> ask(std::uint16_t request, std::uint16_t flags, const Body& body,
                 const OnMessage& on_message) {
  Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket) return fail_errno("opening a netlink socket");
  struct {
    nlmsghdr header;
    Body body;
  } message{{}, body};
  message.header.nlmsg_len = NLMSG_LENGTH(sizeof body);
  message.header.nlmsg_type = request;
  message.header.nlmsg_flags = flags;
  if (send(socket.get(), &message, message.header.nlmsg_len, 0) < 0)
    return fail_errno("asking by netlink");
  std::vector<std::uint8_t> buffer(1 << 16);
  for (;;) {
    const ssize_t size = recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return fail_errno("reading from netlink");
    auto done = read_datagram(ByteView(buffer).first(static_cast<std::size_t>(size)), on_message);
    if (!done) return done.error();
    if (*done) return {};
  }
}

// The last Size bytes of an address, which are all of an IPv4 one.
template <std::size_t Size>
struct AddressAttribute {
  rtattr head{};
  std::array<std::uint8_t, Size> bytes{};

  AddressAttribute(std::uint16_t type, const Address& address) {
    head.rta_len = RTA_LENGTH(Size);
    head.rta_type = type;
    std::copy_n(address.bytes.end() - Size, Size, bytes.begin());
  }
};

template <std::size_t Size>
Result<void> ask_route(const Address& to, const Address* from, const OnMessage& on_message) {
  struct {
    rtmsg head{};
    AddressAttribute<Size> to, from;
  } both{{}, {RTA_DST, to}, {RTA_SRC, from ? *from : to}};
  both.head.rtm_family = Size == 4 ? AF_INET : AF_INET6;
  both.head.rtm_dst_len = 8 * Size;
  constexpr std::uint16_t flags = NLM_F_REQUEST | NLM_F_ACK;
  if (from) {
    both.head.rtm_src_len = 8 * Size;
    return ask(RTM_GETROUTE, flags, both, on_message);
  }
  struct {
    rtmsg head;
    AddressAttribute<Size> to;
  } one{both.head, both.to};
  return ask(RTM_GETROUTE, flags, one, on_message);
}

}  // namespace

Result<void> dump(std::uint16_t request, const OnMessage& on_message) {
  return ask(request, NLM_F_REQUEST | NLM_F_DUMP, rtgenmsg{AF_UNSPEC}, on_message);
}

Result<void> link(int index, const OnMessage& on_message) {
  ifinfomsg wanted{};
  wanted.ifi_index = index;
  return ask(RTM_GETLINK, NLM_F_REQUEST | NLM_F_ACK, wanted, on_message);
}

Result<void> route(const Address& to, const Address* from, const OnMessage& on_message) {
  return to.is_v4() ? ask_route<4>(to, from, on_message) : ask_route<16>(to, from, on_message);
}

Result<void> qdiscs(const OnMessage& on_message) {
  tcmsg all{};
  all.tcm_family = AF_UNSPEC;
  return ask(RTM_GETQDISC, NLM_F_REQUEST | NLM_F_DUMP, all, on_message);
}

void each_attribute(ByteView attributes, const OnAttribute& on_attribute) {
  while (attributes.size() >= sizeof(rtattr)) {
    rtattr attribute;
    std::memcpy(&attribute, attributes.data(), sizeof attribute);
    if (attribute.rta_len < sizeof attribute || attribute.rta_len > attributes.size()) return;
    on_attribute(attribute.rta_type & NLA_TYPE_MASK,
                 attributes.subspan(sizeof attribute, attribute.rta_len - sizeof attribute));
    attributes =
        attributes.subspan(std::min<std::size_t>(attributes.size(), RTA_ALIGN(attribute.rta_len)));
  }
}

int int_of(ByteView value) {
  int number = 0;
  if (value.size() == sizeof number) std::memcpy(&number, value.data(), sizeof number);
  return number;
}

std::string text_of(ByteView value) {
  const auto* text = reinterpret_cast<const char*>(value.data());
  return {text, strnlen(text, value.size())};
}

}  // namespace fieldline::source::netlink
