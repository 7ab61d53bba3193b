// SPDX-License-Identifier: Apache-2.0
#include "source/routes.h"

#include <arpa/inet.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "source/netlink.h"

namespace fieldline::source {
namespace {

using netlink::each_attribute, netlink::int_of, netlink::text_of;

struct Metric {
  std::uint16_t number;  // RTAX_, linux/rtnetlink.h
  const char* name;      // as ip-route(8) has it
};
constexpr Metric kMetrics[] = {
    {RTAX_MTU, "mtu"},           {RTAX_WINDOW, "window"},         {RTAX_RTT, "rtt"},
    {RTAX_RTTVAR, "rttvar"},     {RTAX_SSTHRESH, "ssthresh"},     {RTAX_CWND, "cwnd"},
    {RTAX_ADVMSS, "advmss"},     {RTAX_REORDERING, "reordering"}, {RTAX_INITCWND, "initcwnd"},
    {RTAX_FEATURES, "features"}, {RTAX_RTO_MIN, "rto_min"},       {RTAX_INITRWND, "initrwnd"},
    {RTAX_QUICKACK, "quickack"}};

std::string address_text(int family, ByteView value) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const std::size_t size = family == AF_INET ? 4 : 16;
  if (value.size() != size || !inet_ntop(family, value.data(), text.data(), text.size())) return "";
  return text.data();
}

// struct rtvia: a gateway of the other family.
std::string via_text(ByteView value) {
  std::uint16_t family = 0;
  if (value.size() < sizeof family) return "";
  std::memcpy(&family, value.data(), sizeof family);
  return address_text(family, value.subspan(sizeof family));
}

void take_metric(RouteFacts& route, std::uint16_t number, ByteView value) {
  if (number == RTAX_CC_ALGO) route.congestion_control = text_of(value);
  const auto known = std::find_if(std::begin(kMetrics), std::end(kMetrics),
                                  [&](const Metric& one) { return one.number == number; });
  std::uint32_t told = 0;
  if (known == std::end(kMetrics) || value.size() != sizeof told) return;
  std::memcpy(&told, value.data(), sizeof told);
  route.metrics[known->name] = told;
}

RouteFacts route_of(int family, ByteView attributes) {
  RouteFacts route;
  each_attribute(attributes, [&](std::uint16_t attribute, ByteView value) {
    std::array<char, IF_NAMESIZE> name{};
    if (attribute == RTA_OIF && if_indextoname(static_cast<unsigned>(int_of(value)), name.data()))
      route.device = name.data();
    if (attribute == RTA_GATEWAY) route.gateway = address_text(family, value);
    if (attribute == RTA_VIA) route.gateway = via_text(value);
    if (attribute == RTA_PREFSRC) route.source = address_text(family, value);
    if (attribute == RTA_METRICS) {
      each_attribute(
          value, [&](std::uint16_t number, ByteView inner) { take_metric(route, number, inner); });
    }
  });
  return route;
}

Result<std::optional<RouteFacts>> ask(const Address& to, const Address* from) {
  std::optional<RouteFacts> route;
  auto asked = netlink::route(to, from, [&](std::uint16_t type, ByteView body) {
    ByteReader reader(body);
    const auto head = reader.take_struct<rtmsg>();
    if (type != RTM_NEWROUTE || !head || head->rtm_type != RTN_UNICAST) return;
    route = route_of(head->rtm_family, reader.rest());
  });
  if (!asked) return std::move(asked.error()).in("the route to " + to.to_string());
  return route;
}

// "mq, 8 fq": the root first, then the kinds below it by name.
std::string qdisc_text(const std::string& root, const std::map<std::string, unsigned>& below) {
  std::string text = root;
  for (const auto& [kind, count] : below) {
    text += text.empty() ? "" : ", ";
    if (count > 1) text += std::to_string(count) + " ";
    text += kind;
  }
  return text;
}

}  // namespace

// Of a router, which forwards and has neither address, the kernel refuses to say how it would send
// from one. Asked from one, it does not say it again.
Result<std::optional<RouteFacts>> read_route(const Address& to, const Address& from) {
  auto route = ask(to, &from);
  if (!route) return ask(to, nullptr);
  if (*route && (*route)->source.empty()) (*route)->source = from.to_string();
  return route;
}

Result<std::map<int, std::string>> read_qdiscs() {
  std::map<int, std::string> roots;
  std::map<int, std::map<std::string, unsigned>> below;
  auto read = netlink::qdiscs([&](std::uint16_t type, ByteView body) {
    ByteReader reader(body);
    const auto qdisc = reader.take_struct<tcmsg>();
    if (type != RTM_NEWQDISC || !qdisc || qdisc->tcm_parent == TC_H_INGRESS) return;
    std::string kind;
    each_attribute(reader.rest(), [&](std::uint16_t attribute, ByteView value) {
      if (attribute == TCA_KIND) kind = text_of(value);
    });
    if (qdisc->tcm_parent == TC_H_ROOT) {
      roots[qdisc->tcm_ifindex] = kind;
    } else {
      ++below[qdisc->tcm_ifindex][kind];
    }
  });
  if (!read) return std::move(read.error()).in("the qdiscs");
  std::map<int, std::string> all;
  for (const auto& [index, root] : roots) all[index] = qdisc_text(root, below[index]);
  return all;
}

}  // namespace fieldline::source
