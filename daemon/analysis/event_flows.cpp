// SPDX-License-Identifier: Apache-2.0
#include "analysis/event_flows.h"

#include <algorithm>

#include "analysis/ledger.h"

namespace fieldline::analysis {
namespace {

using nlohmann::json;

std::optional<std::uint16_t> port_in(const json& pair, std::size_t side) {
  if (!pair.is_array() || pair.size() != 2 || !pair[side].is_number_unsigned()) return {};
  const auto port = pair[side].get<std::uint64_t>();
  if (port > UINT16_MAX) return {};
  return static_cast<std::uint16_t>(port);
}

bool fits(std::uint16_t asked, std::uint16_t port) {
  return asked == 0 || asked == port;
}

}  // namespace

std::optional<bool> is_reverse(const EventSocket& socket, const json& grant) {
  const auto a = string_in(grant, "host_a"), b = string_in(grant, "host_b");
  if (!a || !b) return {};
  if (socket.local && *a != *b) {
    const std::string local = socket.local->to_string();
    if (local == *a) return false;
    if (local == *b) return true;
  }
  bool forward = false, reverse = false;
  if (!grant.contains("pairs") || !grant["pairs"].is_array()) return {};
  for (const json& pair : grant["pairs"]) {
    const auto port_a = port_in(pair, 0), port_b = port_in(pair, 1);
    if (!port_a || !port_b) continue;
    forward |= fits(*port_a, socket.local_port) && fits(*port_b, socket.peer_port);
    reverse |= fits(*port_a, socket.peer_port) && fits(*port_b, socket.local_port);
  }
  if (forward == reverse) return {};
  return reverse;
}

const EventSocket* other_end(const EventSocket& socket, const std::vector<EventSocket>& sockets) {
  const EventSocket* found = nullptr;
  for (const EventSocket& other : sockets) {
    if (&other == &socket || other.local_port != socket.peer_port ||
        other.peer_port != socket.local_port)
      continue;
    if (other.local && socket.peer && *other.local != *socket.peer) continue;
    if (found) return nullptr;  // the ports were used twice
    found = &other;
  }
  return found;
}

bool is_sender(const EventSocket& socket, const EventSocket* other) {
  const auto sent = [](const EventSocket& one) {
    return std::max(one.sending.facts().written, one.sending.facts().acked);
  };
  return socket.sent() && (!other || sent(socket) * 100 >= sent(*other));
}

}  // namespace fieldline::analysis
