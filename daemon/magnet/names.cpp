// SPDX-License-Identifier: Apache-2.0
#include "magnet/names.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace fieldline::magnet {

namespace {

constexpr EventName kEvents[] = {
    {MAGNET_SYSINFO, "SYSINFO"},         {MAGNET_LOST, "LOST"},
    {MAGNET_SOCK_OPEN, "SOCK_OPEN"},     {MAGNET_SOCK_CLOSE, "SOCK_CLOSE"},
    {MAGNET_SOCK_SEND, "SOCK_SEND"},     {MAGNET_SOCK_RECV, "SOCK_RECV"},
    {MAGNET_TCP_SEND, "TCP_SEND"},       {MAGNET_TCP_RECV, "TCP_RECV"},
    {MAGNET_TCP_RETRANS, "TCP_RETRANS"}, {MAGNET_UDP_SEND, "UDP_SEND"},
    {MAGNET_UDP_RECV, "UDP_RECV"},       {MAGNET_IP_SEND, "IP_SEND"},
    {MAGNET_IP_RECV, "IP_RECV"},         {MAGNET_IP6_SEND, "IP6_SEND"},
    {MAGNET_IP6_RECV, "IP6_RECV"},       {MAGNET_DEV_SEND, "DEV_SEND"},
    {MAGNET_DEV_RECV, "DEV_RECV"},
};

struct LayerName {
  unsigned number;
  const char* name;
};
constexpr LayerName kLayers[] = {
    {MAGNET_LAYER_SOCK, "sock"}, {MAGNET_LAYER_TCP, "tcp"}, {MAGNET_LAYER_UDP, "udp"},
    {MAGNET_LAYER_IP, "ip"},     {MAGNET_LAYER_DEV, "dev"},
};

std::string in_capitals(std::string_view name) {
  std::string upper(name);
  std::transform(upper.begin(), upper.end(), upper.begin(), [](char c) {
    if (c == '-') return '_';
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  });
  return upper;
}

}  // namespace

std::span<const EventName> event_names() {
  return kEvents;
}

const char* find_event_name(std::uint32_t code) {
  const auto* found = std::lower_bound(
      std::begin(kEvents), std::end(kEvents), code,
      [](const EventName& event, std::uint32_t wanted) { return event.code < wanted; });
  return found != std::end(kEvents) && found->code == code ? found->name : nullptr;
}

std::string event_name(std::uint32_t code) {
  const char* name = find_event_name(code);
  return name != nullptr ? name : fmt::format("{:#06x}", code);
}

std::optional<std::uint32_t> event_code(std::string_view name) {
  const std::string wanted = in_capitals(name);
  std::string_view rest = wanted;
  if (rest.starts_with("0X")) {
    std::uint32_t code = 0;
    auto [end, error] = std::from_chars(rest.data() + 2, rest.data() + rest.size(), code, 16);
    if (error != std::errc() || end != rest.data() + rest.size()) return std::nullopt;
    return code;
  }
  if (rest.starts_with("MAGNET_")) rest.remove_prefix(7);
  for (const auto& event : kEvents) {
    if (rest == event.name) return event.code;
  }
  return std::nullopt;
}

std::optional<unsigned> layer_of(std::uint32_t code) {
  const unsigned layer = code >> 8;
  if (layer_name(layer) == nullptr) return std::nullopt;
  return layer;
}

const char* layer_name(unsigned layer) {
  for (const auto& known : kLayers) {
    if (known.number == layer) return known.name;
  }
  return nullptr;
}

std::optional<unsigned> layer_number(std::string_view name) {
  const std::string wanted = in_capitals(name);
  for (const auto& known : kLayers) {
    if (wanted == in_capitals(known.name)) return known.number;
  }
  return std::nullopt;
}

}  // namespace fieldline::magnet
