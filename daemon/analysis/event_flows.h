// SPDX-License-Identifier: Apache-2.0
// Which flow of the path a host's socket carries, and who is at its other end.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "analysis/senders.h"

namespace fieldline::analysis {

// Whether the socket sends in the reverse direction of the grant's hosts: by its addresses where
// its opening was recorded, else by its ports where they tell.
std::optional<bool> is_reverse(const EventSocket& socket, const nlohmann::json& grant);
// Finds the socket at the other end of a connection; nullptr if none was recorded, or its ports
// were used twice. The sockets must stay where they are.
class OtherEnds {
 public:
  explicit OtherEnds(const std::vector<EventSocket>& sockets);
  const EventSocket* of(const EventSocket& socket) const;

 private:
  std::multimap<std::pair<std::uint16_t, std::uint16_t>, const EventSocket*> by_ports_;
};

// Of a connection's two ends that one which sent next to nothing for what it was sent is none.
bool is_sender(const EventSocket& socket, const EventSocket* other);
// What the hosts did not record, or what of it is not told, one line each.
std::vector<std::string> doubts_of(const EventSockets& events);

}  // namespace fieldline::analysis
