// SPDX-License-Identifier: Apache-2.0
// What people write for a flow:
//   tcp                              everything TCP between the two hosts
//   tcp:5201                         the remote host's port 5201, any local port
//   tcp:*:5201-*                     the local port 5201, any remote port
//   tcp:10.0.0.1:43122-10.0.3.2:5201 one flow, as ss prints its two columns
//   tcp:10.0.0.0/24-10.0.3.0/24:443  every host of two networks
//   udp:[2001:db8::1]:7000-[2001:db8::2]:9000
//   icmp                             echo and errors between the two hosts
//   sctp:5000, udplite:5000          as tcp
//   esp, esp:0x1a2b3c4d              every association, or one SPI, in either direction
// An address is as ss writes it (ADDR:PORT, [V6]:PORT, [V6/LENGTH]:PORT) or as tcpdump does
// (ADDR.PORT); `>` may stand for `-`, with white space around; `*`, 0 or nothing is any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/address.h"
#include "base/result.h"

namespace fieldline::cli {

struct FlowSpec {
  std::uint8_t protocol = 0;
  std::optional<Prefix> local, remote;  // no value: any, or as the command finds it
  std::uint16_t local_port = 0, remote_port = 0;

  bool operator==(const FlowSpec&) const = default;
  static Result<FlowSpec> parse(std::string_view text);
  std::string to_string() const;
  nlohmann::json to_query() const;  // the "flow" member of a query request
};

bool has_ports(std::uint8_t protocol);
// "tcp", "udp", "udplite", "sctp", "esp", "icmp", "icmp6" or the number.
std::string name_of_protocol(std::uint8_t protocol);
// "10.0.0.1:80", "[2001:db8::1]:80"; port 0 is "*".
std::string endpoint_text(const Address& address, std::uint16_t port);
std::string endpoint_text(const Prefix& hosts, std::uint16_t port);

}  // namespace fieldline::cli
