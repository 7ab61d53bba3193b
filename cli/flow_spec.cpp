// SPDX-License-Identifier: Apache-2.0
#include "cli/flow_spec.h"

#include <fmt/format.h>
#include <netinet/in.h>

#include <charconv>

#include "sense/trigger.h"

namespace fieldline::cli {

namespace {

constexpr const char* kForms =
    "write tcp, tcp:PORT or tcp:LOCAL[:PORT]-REMOTE[:PORT], with udp, udplite, sctp or icmp "
    "likewise, or esp or esp:SPI; a network is ADDR/LENGTH";
constexpr std::size_t kLongest = 256;

struct Endpoint {
  std::optional<Prefix> hosts;
  std::uint16_t port = 0;
};

std::string_view trim(std::string_view text) {
  auto from = text.find_first_not_of(" \t");
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(" \t") - from + 1);
}

Error bad(std::string_view what, const std::string& why) {
  return fail(Code::invalid, "'" + std::string(what.substr(0, 80)) + "' " + why + "; " + kForms);
}

std::optional<std::uint16_t> port_number(std::string_view text) {
  if (text == "*") return 0;
  std::uint16_t port = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return {};
  return port;
}

bool is_any(std::string_view address) {
  return address.empty() || address == "*";
}

// Hosts and port that were already told apart.
Result<Endpoint> join(std::string_view whole, std::string_view hosts, std::string_view port) {
  Endpoint endpoint;
  if (!is_any(hosts)) {
    auto parsed = Prefix::parse(hosts);
    if (!parsed && hosts.find('/') != std::string_view::npos)
      return bad(whole, "has no network before its port: " + parsed.error().context);
    if (!parsed) return bad(whole, "has no IPv4 or IPv6 address before its port");
    endpoint.hosts = *parsed;
  }
  auto number = port_number(port);
  if (!number) return bad(whole, "has no port from 0 to 65535 behind its address");
  endpoint.port = *number;
  return endpoint;
}

Result<Endpoint> parse_bracketed(std::string_view text) {
  auto close = text.find(']');
  if (close == std::string_view::npos) return bad(text, "has no ']'");
  std::string_view address = text.substr(1, close - 1), rest = text.substr(close + 1);
  if (rest.empty()) return join(text, address, "*");
  if (rest.front() != ':') return bad(text, "has something else than :PORT behind ']'");
  return join(text, address, rest.substr(1));
}

Result<Endpoint> parse_endpoint(std::string_view text) {
  if (is_any(text)) return Endpoint{};
  if (text.front() == '[') return parse_bracketed(text);
  if (auto port = port_number(text)) return Endpoint{{}, *port};
  if (auto address = Address::parse(text)) return Endpoint{Prefix{*address, 128}, 0};
  if (auto slash = text.find('/'); slash != std::string_view::npos) {
    auto colon = text.find(':', slash);
    bool has_port = colon != std::string_view::npos;
    return join(text, text.substr(0, colon), has_port ? text.substr(colon + 1) : "*");
  }
  if (auto colon = text.rfind(':'); colon != std::string_view::npos && text.find(':') == colon) {
    return join(text, text.substr(0, colon), text.substr(colon + 1));
  }
  if (auto dot = text.rfind('.'); dot != std::string_view::npos) {
    return join(text, text.substr(0, dot), text.substr(dot + 1));
  }
  return bad(
      text,
      "is neither an address nor a port; an IPv6 address with a port needs brackets: [ADDR]:PORT");
}

Result<std::uint8_t> parse_protocol(std::string_view name) {
  if (name == "tcp") return std::uint8_t{IPPROTO_TCP};
  if (name == "udp") return std::uint8_t{IPPROTO_UDP};
  if (name == "udplite") return std::uint8_t{IPPROTO_UDPLITE};
  if (name == "sctp") return std::uint8_t{IPPROTO_SCTP};
  if (name == "esp") return std::uint8_t{IPPROTO_ESP};
  if (name == "icmp") return std::uint8_t{IPPROTO_ICMP};
  if (name == "icmp6" || name == "icmpv6") return std::uint8_t{IPPROTO_ICMPV6};
  return bad(name, "is not a protocol of a flow");
}

// A port pair holds the halves of the SPI, of which 0 is any: an SPI with such a half cannot be
// named.
std::optional<sense::PortPair> parse_spi(std::string_view text) {
  const int base = text.starts_with("0x") ? 16 : 10;
  if (base == 16) text.remove_prefix(2);
  std::uint32_t spi = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), spi, base);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return {};
  const sense::PortPair halves{static_cast<std::uint16_t>(spi >> 16),
                               static_cast<std::uint16_t>(spi)};
  if (halves.a == 0 || halves.b == 0) return {};
  return halves;
}

}  // namespace

bool has_ports(std::uint8_t protocol) {
  return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP ||
         protocol == IPPROTO_UDPLITE;
}

std::string name_of_protocol(std::uint8_t protocol) {
  switch (protocol) {
    case IPPROTO_TCP:
      return "tcp";
    case IPPROTO_UDP:
      return "udp";
    case IPPROTO_UDPLITE:
      return "udplite";
    case IPPROTO_SCTP:
      return "sctp";
    case IPPROTO_ESP:
      return "esp";
    case IPPROTO_ICMP:
      return "icmp";
    case IPPROTO_ICMPV6:
      return "icmp6";
    default:
      return std::to_string(protocol);
  }
}

std::string endpoint_text(const Address& address, std::uint16_t port) {
  return endpoint_text(Prefix{address, 128}, port);
}

std::string endpoint_text(const Prefix& hosts, std::uint16_t port) {
  std::string text = hosts.to_string();
  if (text.find(':') != std::string::npos) text = "[" + text + "]";
  return text + ":" + (port == 0 ? "*" : std::to_string(port));
}

Result<FlowSpec> FlowSpec::parse(std::string_view text) {
  if (text.size() > kLongest) return bad(text, "... is too long for a flow");
  text = trim(text);
  auto colon = text.find(':');
  auto protocol = parse_protocol(text.substr(0, colon));
  if (!protocol) return protocol.error();
  FlowSpec spec;
  spec.protocol = *protocol;
  if (colon == std::string_view::npos) return spec;

  std::string_view rest = trim(text.substr(colon + 1));
  if (rest.empty()) return bad(text, "ends with ':'");
  if (spec.protocol == IPPROTO_ESP && rest.find('-') == std::string_view::npos) {
    auto halves = parse_spi(rest);
    if (!halves) {
      return bad(text,
                 "has no SPI that can be named, from 0x00010001 on with no half of 0; "
                 "plain esp takes every SPI");
    }
    spec.local_port = halves->a;
    spec.remote_port = halves->b;
    return spec;
  }
  auto middle = rest.find_first_of("->");
  bool both = middle != std::string_view::npos;
  if (both && rest.find_first_not_of("0123456789-> ") == std::string_view::npos) {
    return bad(text, "looks like a range of ports; name each port with a --flow of its own");
  }
  auto remote = parse_endpoint(trim(both ? rest.substr(middle + 1) : rest));
  if (!remote) return remote.error();
  spec.remote = remote->hosts;
  spec.remote_port = remote->port;
  if (both) {
    auto local = parse_endpoint(trim(rest.substr(0, middle)));
    if (!local) return local.error();
    spec.local = local->hosts;
    spec.local_port = local->port;
  }
  if (!has_ports(spec.protocol) && (spec.local_port != 0 || spec.remote_port != 0)) {
    return bad(text, "names a port of a protocol that has none");
  }
  if (spec.local && spec.remote && spec.local->address.is_v4() != spec.remote->address.is_v4()) {
    return bad(text, "mixes IPv4 and IPv6");
  }
  return spec;
}

std::string FlowSpec::to_string() const {
  if (protocol == IPPROTO_ESP && local_port != 0) {
    return fmt::format("esp:0x{:04x}{:04x}", local_port, remote_port);
  }
  auto end = [](const std::optional<Prefix>& hosts, std::uint16_t port) {
    if (hosts) return endpoint_text(*hosts, port);
    return "*:" + (port == 0 ? std::string("*") : std::to_string(port));
  };
  return name_of_protocol(protocol) + ":" + end(local, local_port) + "-" + end(remote, remote_port);
}

nlohmann::json FlowSpec::to_query() const {
  nlohmann::json flow = {{"protocol", protocol}};
  if (local) flow["a"] = local->to_string();
  if (remote) flow["b"] = remote->to_string();
  if (local_port != 0) flow["port_a"] = local_port;
  if (remote_port != 0) flow["port_b"] = remote_port;
  return flow;
}

}  // namespace fieldline::cli
