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

OtherEnds::OtherEnds(const std::vector<EventSocket>& sockets) {
  for (const EventSocket& socket : sockets)
    by_ports_.emplace(std::pair(socket.local_port, socket.peer_port), &socket);
}

const EventSocket* OtherEnds::of(const EventSocket& socket) const {
  const auto [first, last] = by_ports_.equal_range({socket.peer_port, socket.local_port});
  const EventSocket* found = nullptr;
  for (auto at = first; at != last; ++at) {
    const EventSocket& other = *at->second;
    if (&other == &socket || (other.local && socket.peer && *other.local != *socket.peer)) continue;
    if (found) return nullptr;
    found = &other;
  }
  return found;
}

bool is_sender(const EventSocket& socket, const EventSocket* other) {
  return socket.sent() > 0 && (!other || socket.sent() * 100 >= other->sent());
}

std::vector<std::string> doubts_of(const EventSockets& events) {
  std::vector<std::string> doubts;
  for (const EventHost& host : events.hosts) {
    std::string lost;
    for (const auto& [name, count] : host.lost)
      lost += (lost.empty() ? "" : ", ") + name + " " + std::to_string(count);
    if (!lost.empty())
      doubts.push_back("host " + host.name + " did not record everything: " + lost);
    if (host.late)
      doubts.push_back("host " + host.name + ": " + std::to_string(host.late) +
                       " records came long behind the others and were left out");
    if (host.bare)
      doubts.push_back("host " + host.name + ": " + std::to_string(host.bare) +
                       " records have no TCP state; load the module with ext=1");
  }
  for (const EventSocket& socket : events.sockets) {
    if (socket.sending.facts().records > 0 || socket.sent() == 0) continue;
    doubts.push_back(
        "samples alone tell of some sockets: a slow application is not told from a small send "
        "buffer");
    break;
  }
  if (events.left_out)
    doubts.push_back(std::to_string(events.left_out) +
                     " records are of more sockets than are kept apart");
  if (events.not_sampled)
    doubts.push_back(std::to_string(events.not_sampled) +
                     " sockets were too many to be sampled; name flows");
  return doubts;
}

}  // namespace fieldline::analysis
