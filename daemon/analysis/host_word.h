// SPDX-License-Identifier: Apache-2.0
// What hosts themselves say of what they sent again, by ports and sequence.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "analysis/path.h"

namespace fieldline::analysis {

class HostWord {
 public:
  // What the first point saw of a direction sent again. Both outlive it.
  HostWord(const EventSockets& events, const std::vector<Again>& again);

  // No value: nobody says, or it was sent again in several ways.
  std::optional<Again::How> how(const LostPacket& packet) const;
  // The host whose device had not sent the data before: of a packet that fills a hole at the first
  // point, and that this host saw itself, by its own clock, on its way to its device.
  std::optional<std::string> kept_before_hole(const LostPacket& packet) const;
  bool kept_before(const LostPacket& packet, const std::string& host) const;

 private:
  using Place = std::tuple<std::uint16_t, std::uint16_t, std::uint32_t>;
  struct Kept {
    std::uint32_t length;
    const NeverLeft* word;
    const std::string* host;
  };
  struct Seen {
    std::uint32_t length;
  };

  std::multimap<Place, Resent> resent_;
  std::multimap<Place, Kept> never_left_;
  std::multimap<Place, Seen> again_;
};

}  // namespace fieldline::analysis
