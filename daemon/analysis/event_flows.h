// SPDX-License-Identifier: Apache-2.0
// Which flow of the path a host's socket carries, and who is at its other end.
#pragma once

#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

#include "analysis/senders.h"

namespace fieldline::analysis {

// Whether the socket sends in the reverse direction of the grant's hosts: by its addresses where
// its opening was recorded, else by its ports where they tell.
std::optional<bool> is_reverse(const EventSocket& socket, const nlohmann::json& grant);
// The socket at the other end of a connection; nullptr if none was recorded, or its ports were used
// twice.
const EventSocket* other_end(const EventSocket& socket, const std::vector<EventSocket>& sockets);
// Of a connection's two ends that one which sent next to nothing for what it was sent is none.
bool is_sender(const EventSocket& socket, const EventSocket* other);

}  // namespace fieldline::analysis
