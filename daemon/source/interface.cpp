// SPDX-License-Identifier: Apache-2.0
#include "source/interface.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>

#include "base/bytes.h"
#include "base/fd.h"

namespace fieldline::source {
namespace {

using OnMessage = std::function<void(std::uint16_t type, ByteView body)>;

std::string join(const std::vector<std::string>& texts) {
  std::string joined;
  for (const auto& text : texts) joined += (joined.empty() ? "" : ", ") + text;
  return joined;
}

// Hands out the messages of one datagram; true when the dump is complete.
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
      errno = error ? -error->error : EPROTO;
      return fail_errno("asking the kernel by netlink");
    }
    on_message(header->nlmsg_type, body);
    datagram =
        datagram.subspan(std::min<std::size_t>(datagram.size(), NLMSG_ALIGN(header->nlmsg_len)));
  }
  return false;
}

Result<void> dump(std::uint16_t request, const OnMessage& on_message) {
  Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket) return fail_errno("opening a netlink socket");
  struct {
    nlmsghdr header;
    rtgenmsg general;
  } ask{};
  ask.header.nlmsg_len = NLMSG_LENGTH(sizeof ask.general);
  ask.header.nlmsg_type = request;
  ask.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  ask.general.rtgen_family = AF_UNSPEC;
  if (send(socket.get(), &ask, ask.header.nlmsg_len, 0) < 0) return fail_errno("asking by netlink");
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

// The attributes behind a message's fixed part; what does not fit is left out.
using OnAttribute = std::function<void(std::uint16_t type, ByteView value)>;
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

std::string address_text(int family, ByteView value, unsigned prefix) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const std::size_t size = family == AF_INET ? 4 : 16;
  if (value.size() != size || !inet_ntop(family, value.data(), text.data(), text.size()))
    return "?";
  return std::string(text.data()) + "/" + std::to_string(prefix);
}

Result<void> read_link(Interface& into) {
  return dump(RTM_GETLINK, [&](std::uint16_t type, ByteView body) {
    ByteReader reader(body);
    auto link = reader.take_struct<ifinfomsg>();
    if (type != RTM_NEWLINK || !link || link->ifi_index != into.index) return;
    into.up = link->ifi_flags & IFF_UP;
    each_attribute(reader.rest(), [&](std::uint16_t attribute, ByteView value) {
      if (attribute != IFLA_MASTER) return;
      std::array<char, IF_NAMESIZE> name{};
      const auto index = static_cast<unsigned>(int_of(value));
      into.master = if_indextoname(index, name.data()) ? name.data() : std::to_string(index);
    });
  });
}

Result<void> read_addresses(Interface& into) {
  return dump(RTM_GETADDR, [&](std::uint16_t type, ByteView body) {
    ByteReader reader(body);
    auto address = reader.take_struct<ifaddrmsg>();
    if (type != RTM_NEWADDR || !address) return;
    if (static_cast<int>(address->ifa_index) != into.index) return;
    // IPv4 with a peer has its own address in IFA_LOCAL; IPv6 without a peer has IFA_ADDRESS alone.
    std::string own;
    each_attribute(reader.rest(), [&](std::uint16_t attribute, ByteView value) {
      if (attribute != IFA_LOCAL && (attribute != IFA_ADDRESS || !own.empty())) return;
      own = address_text(address->ifa_family, value, address->ifa_prefixlen);
    });
    into.addresses.push_back(own);
  });
}

bool multipath_uses(ByteView hops, int index) {
  while (hops.size() >= sizeof(rtnexthop)) {
    rtnexthop hop;
    std::memcpy(&hop, hops.data(), sizeof hop);
    if (hop.rtnh_ifindex == index) return true;
    if (hop.rtnh_len < sizeof hop) return false;
    hops = hops.subspan(std::min<std::size_t>(hops.size(), RTNH_ALIGN(hop.rtnh_len)));
  }
  return false;
}

Result<void> read_routes(Interface& into) {
  return dump(RTM_GETROUTE, [&](std::uint16_t type, ByteView body) {
    ByteReader reader(body);
    auto route = reader.take_struct<rtmsg>();
    if (type != RTM_NEWROUTE || !route || route->rtm_protocol == RTPROT_KERNEL) return;
    if (route->rtm_flags & RTM_F_CLONED) return;
    bool ours = false;
    std::string destination = "default";
    each_attribute(reader.rest(), [&](std::uint16_t attribute, ByteView value) {
      if (attribute == RTA_OIF) ours |= int_of(value) == into.index;
      if (attribute == RTA_MULTIPATH) ours |= multipath_uses(value, into.index);
      if (attribute == RTA_DST)
        destination = address_text(route->rtm_family, value, route->rtm_dst_len);
    });
    if (ours) into.routes.push_back(destination);
  });
}

}  // namespace

Result<Interface> read_interface(const std::string& name) {
  Interface read;
  read.name = name;
  read.index = static_cast<int>(if_nametoindex(name.c_str()));
  if (read.index == 0) {
    return fail(Code::not_found, "there is no interface " + name + " here; see: ip -brief link");
  }
  for (auto step : {read_link, read_addresses, read_routes}) {
    if (auto done = step(read); !done) return std::move(done.error()).in("interface " + name);
  }
  return read;
}

Result<void> check_is_tap(const Interface& interface) {
  const std::string& name = interface.name;
  const std::string reason =
      "; a tap consumes every packet that comes in, so it can carry nothing of its own. ";
  if (!interface.master.empty()) {
    return fail(Code::invalid, "interface " + name + " belongs to " + interface.master + reason +
                                   "Run: ip link set dev " + name + " nomaster");
  }
  if (!interface.addresses.empty()) {
    return fail(Code::invalid, "interface " + name + " has the address " +
                                   join(interface.addresses) + reason + "Run: ip link set dev " +
                                   name + " addrgenmode none && ip address flush dev " + name);
  }
  if (!interface.routes.empty()) {
    return fail(Code::invalid, "interface " + name + " has the route " + join(interface.routes) +
                                   reason + "Run: ip -4 route flush dev " + name +
                                   "; ip -6 route flush dev " + name);
  }
  if (!interface.up) {
    return fail(Code::invalid, "interface " + name +
                                   " is down and would see no packet. Run: ip link set dev " +
                                   name + " up");
  }
  return {};
}

}  // namespace fieldline::source
