// SPDX-License-Identifier: Apache-2.0
#include "source/interface.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>

#include "source/ethtool.h"
#include "source/netlink.h"

namespace fieldline::source {
namespace {

using netlink::dump, netlink::each_attribute, netlink::int_of, netlink::link, netlink::text_of;

std::string join(const std::vector<std::string>& texts) {
  std::string joined;
  for (const auto& text : texts) joined += (joined.empty() ? "" : ", ") + text;
  return joined;
}

std::string address_text(int family, ByteView value, unsigned prefix) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const std::size_t size = family == AF_INET ? 4 : 16;
  if (value.size() != size || !inet_ntop(family, value.data(), text.data(), text.size()))
    return "?";
  return std::string(text.data()) + "/" + std::to_string(prefix);
}

std::string name_of(int index) {
  std::array<char, IF_NAMESIZE> name{};
  return if_indextoname(static_cast<unsigned>(index), name.data()) ? name.data()
                                                                   : std::to_string(index);
}

std::string kind_of(ByteView link_info) {
  std::string kind;
  each_attribute(link_info, [&](std::uint16_t inner, ByteView text) {
    if (inner == IFLA_INFO_KIND) kind = text_of(text);
  });
  return kind;
}

Result<void> read_link(Interface& into) {
  return link(into.index, [&](std::uint16_t type, ByteView body) {
    ByteReader reader(body);
    auto found = reader.take_struct<ifinfomsg>();
    if (type != RTM_NEWLINK || !found) return;
    into.up = found->ifi_flags & IFF_UP;
    into.type = found->ifi_type;
    each_attribute(reader.rest(), [&](std::uint16_t attribute, ByteView value) {
      if (attribute == IFLA_MASTER) into.master = name_of(int_of(value));
      if (attribute == IFLA_LINKINFO) into.kind = kind_of(value);
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
  if (auto done = read_link(read); !done) return std::move(done.error()).in("interface " + name);
  if (read.kind.empty()) read.kind = read.type == ARPHRD_LOOPBACK ? "loopback" : "nic";
  read.driver = Ethtool(name).driver();
  return read;
}

namespace {

// What a link message says of its place among others; absent: 0, "".
struct LinkTies {
  int index = 0, master = 0, lower = 0;
  bool lower_is_elsewhere = false;  // an index of another namespace
  std::string kind;
};

Result<void> each_link(const std::function<void(const LinkTies&)>& on_link) {
  return dump(RTM_GETLINK, [&](std::uint16_t type, ByteView body) {
    ByteReader reader(body);
    auto link = reader.take_struct<ifinfomsg>();
    if (type != RTM_NEWLINK || !link) return;
    LinkTies ties;
    ties.index = link->ifi_index;
    each_attribute(reader.rest(), [&](std::uint16_t attribute, ByteView value) {
      if (attribute == IFLA_MASTER) ties.master = int_of(value);
      if (attribute == IFLA_LINK) ties.lower = int_of(value);
      if (attribute == IFLA_LINK_NETNSID) ties.lower_is_elsewhere = true;
      if (attribute == IFLA_LINKINFO) ties.kind = kind_of(value);
    });
    on_link(ties);
  });
}

// A VLAN, a macvlan, a tunnel that is bound to it. What a pair's end names so is its other end.
Result<std::vector<std::string>> stacked_on(const Interface& interface) {
  std::vector<std::string> names;
  auto read = each_link([&](const LinkTies& ties) {
    const bool is_pair = ties.kind == "veth" || ties.kind == "netkit" || ties.kind == "vxcan";
    if (ties.lower == interface.index && !ties.lower_is_elsewhere && !is_pair &&
        ties.index != interface.index) {
      names.push_back(name_of(ties.index));
    }
  });
  if (!read) return read.error();
  return names;
}

}  // namespace

Result<std::vector<std::string>> members_of(const Interface& interface) {
  std::vector<std::string> names;
  auto read = each_link([&](const LinkTies& ties) {
    if (ties.master == interface.index) names.push_back(name_of(ties.index));
  });
  if (!read) return std::move(read.error()).in("members of " + interface.name);
  return names;
}

Result<void> check_has_ethernet(const Interface& interface) {
  if (interface.type == ARPHRD_ETHER || interface.type == ARPHRD_LOOPBACK) return {};
  return fail(Code::unsupported, "interface " + interface.name +
                                     " has no Ethernet header; name the interface that carries its "
                                     "packets, or leave it out");
}

namespace {
constexpr const char* kReason =
    "; a tap consumes every packet that comes in, so it can carry nothing of its own. ";
}  // namespace

Result<void> check_carries_nothing(const Interface& tap, const std::string& bundle) {
  Interface interface = tap;
  const std::string& name = interface.name;
  if (auto done = read_addresses(interface); !done)
    return std::move(done.error()).in("interface " + name);
  auto stacked = stacked_on(interface);
  if (!stacked) return std::move(stacked.error()).in("interface " + name);
  if (interface.master != bundle && !interface.master.empty()) {
    return fail(Code::invalid, "interface " + name + " belongs to " + interface.master + kReason +
                                   "Run: ip link set dev " + name + " nomaster");
  }
  if (!interface.addresses.empty()) {
    return fail(Code::invalid, "interface " + name + " has the address " +
                                   join(interface.addresses) + kReason + "Run: ip link set dev " +
                                   name + " addrgenmode none && ip address flush dev " + name);
  }
  if (!stacked->empty()) {
    return fail(Code::invalid, "interface " + name + " carries " + join(*stacked) + kReason +
                                   "Run: ip link delete dev " + stacked->front() +
                                   ", or list the interface in in_path");
  }
  return {};
}

Result<void> check_is_tap(const Interface& tap, const std::string& bundle) {
  if (auto checked = check_carries_nothing(tap, bundle); !checked) return checked;
  Interface interface = tap;
  const std::string& name = interface.name;
  if (auto done = read_routes(interface); !done)
    return std::move(done.error()).in("interface " + name);
  if (!interface.routes.empty()) {
    return fail(Code::invalid, "interface " + name + " has the route " + join(interface.routes) +
                                   kReason + "Run: ip -4 route flush dev " + name +
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
