// SPDX-License-Identifier: Apache-2.0
#include "archive/filter.h"

#include <algorithm>

#include "base/port_totals.h"

namespace fieldline::archive {

namespace {

constexpr std::uint16_t kIpv4 = 0x0800, kIpv6 = 0x86dd, kVlan = 0x8100, kServiceVlan = 0x88a8;
constexpr int kMaxTags = 2, kMaxExtensions = 8;

// A 16-bit member at `offset` of a view that is known to be long enough.
std::uint16_t word(ByteView bytes, std::size_t offset) {
  return static_cast<std::uint16_t>(bytes[offset] << 8 | bytes[offset + 1]);
}

void take_ports(Endpoints& ends, ByteReader rest) {
  constexpr std::uint8_t tcp = 6, udp = 17;
  if (ends.protocol != tcp && ends.protocol != udp) return;
  auto ports = rest.take(4);
  if (!ports) return;
  ends.sport = word(*ports, 0);
  ends.dport = word(*ports, 2);
}

std::optional<Endpoints> ipv4(ByteReader rest) {
  auto header = rest.take(20);
  if (!header || (*header)[0] >> 4 != 4) return std::nullopt;
  std::size_t length = ((*header)[0] & 15) * std::size_t{4};
  if (length < 20) return std::nullopt;
  Endpoints ends;
  ends.protocol = (*header)[9];
  for (auto [address, at] : {std::pair{&ends.src, 12}, std::pair{&ends.dst, 16}}) {
    address->bytes[10] = address->bytes[11] = 0xff;
    std::copy_n(header->begin() + at, 4, address->bytes.begin() + 12);
  }
  bool first_fragment = (word(*header, 6) & 0x1fff) == 0;
  if (first_fragment && rest.take(length - 20)) take_ports(ends, rest);
  return ends;
}

// Walks hop-by-hop, routing, destination options, fragment and authentication headers.
void follow_extensions(Endpoints& ends, ByteReader rest) {
  constexpr std::uint8_t hop = 0, routing = 43, fragment = 44, authentication = 51,
                         destination = 60;
  for (int i = 0; i <= kMaxExtensions; ++i) {
    bool is_extension = ends.protocol == hop || ends.protocol == routing ||
                        ends.protocol == fragment || ends.protocol == authentication ||
                        ends.protocol == destination;
    if (!is_extension) return take_ports(ends, rest);
    auto start = rest.take(8);
    if (!start) return;
    std::size_t more = (*start)[1] * std::size_t{8};
    if (ends.protocol == authentication) more = (*start)[1] * std::size_t{4};
    if (ends.protocol == fragment) {
      more = 0;
      if ((word(*start, 2) & 0xfff8) != 0) return;
    }
    ends.protocol = (*start)[0];
    if (!rest.take(more)) return;
  }
}

std::optional<Endpoints> ipv6(ByteReader rest) {
  auto header = rest.take(40);
  if (!header || (*header)[0] >> 4 != 6) return std::nullopt;
  Endpoints ends;
  ends.protocol = (*header)[6];
  std::copy_n(header->begin() + 8, 16, ends.src.bytes.begin());
  std::copy_n(header->begin() + 24, 16, ends.dst.bytes.begin());
  follow_extensions(ends, rest);
  return ends;
}

bool one_way(const Query::Flow& flow, const Address& from, const Address& to,
             std::optional<std::uint16_t> from_port, std::optional<std::uint16_t> to_port) {
  if (flow.a && !flow.a->contains(from)) return false;
  if (flow.b && !flow.b->contains(to)) return false;
  if (flow.port_a != 0 && from_port != flow.port_a) return false;
  return flow.port_b == 0 || to_port == flow.port_b;
}

}  // namespace

std::optional<Endpoints> endpoints_of(ByteView frame) {
  ByteReader rest(frame);
  auto ethernet = rest.take(14);
  if (!ethernet) return std::nullopt;
  std::uint16_t type = word(*ethernet, 12);
  for (int tag = 0; tag < kMaxTags && (type == kVlan || type == kServiceVlan); ++tag) {
    auto vlan = rest.take(4);
    if (!vlan) return std::nullopt;
    type = word(*vlan, 2);
  }
  if (type == kIpv4) return ipv4(rest);
  if (type == kIpv6) return ipv6(rest);
  return std::nullopt;
}

bool matches(const Query::Flow& flow, ByteView frame) {
  auto ends = endpoints_of(frame);
  if (!ends) return false;
  if (flow.protocol && *flow.protocol != ends->protocol) return false;
  return one_way(flow, ends->src, ends->dst, ends->sport, ends->dport) ||
         one_way(flow, ends->dst, ends->src, ends->dport, ends->sport);
}

bool matches_vantage(const Query& query, const std::string& name) {
  return !query.vantage || name == *query.vantage || name.starts_with(*query.vantage + ":");
}

bool matches_sensor(const Query& query, const std::string& sensor) {
  return !query.vantage || *query.vantage == sensor || query.vantage->starts_with(sensor + ":");
}

bool matches_time(const Query& query, std::uint64_t timestamp_ns) {
  return (!query.from_ns || timestamp_ns >= *query.from_ns) &&
         (!query.to_ns || timestamp_ns < *query.to_ns);
}

bool overlaps_time(const Query& query, ByteView totals) {
  if (!query.from_ns && !query.to_ns) return true;
  auto body = parse_totals(totals);
  if (!body) return true;
  for (std::uint32_t i = 0; i < body->periods; ++i) {
    const TotalsPeriod period = body->period(i);
    if (query.from_ns && period.end_ns() <= *query.from_ns) continue;
    if (!query.to_ns || period.begin_ns < *query.to_ns) return true;
  }
  return false;
}

}  // namespace fieldline::archive
