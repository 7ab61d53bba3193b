// SPDX-License-Identifier: Apache-2.0
// Which stored packets an answer holds.
#pragma once

#include <optional>

#include "archive/archive.h"

namespace fieldline::archive {

// What the stored bytes tell of a packet; ports only where the transport header was stored.
struct Endpoints {
  Address src, dst;
  std::uint8_t protocol = 0;
  std::optional<std::uint16_t> sport, dport;
};

// Ethernet with up to two VLAN tags, IPv4, IPv6 with extension headers; nothing for anything else.
std::optional<Endpoints> endpoints_of(ByteView frame);

// In either direction. A packet whose bytes do not tell what the flow asks for is no match.
bool matches(const Query::Flow& flow, ByteView frame);

// `name`: of the interface block, "s1:tap0".
bool matches_vantage(const Query& query, const std::string& name);
// May a session of this sensor hold anything of the vantage point?
bool matches_sensor(const Query& query, const std::string& sensor);
bool matches_time(const Query& query, std::uint64_t timestamp_ns);
// Of a body of port totals: a period of it. One that cannot be read is not kept from anybody.
bool overlaps_time(const Query& query, ByteView totals);

}  // namespace fieldline::archive
