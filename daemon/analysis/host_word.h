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
  explicit HostWord(const EventSockets& events);  // which outlives it

  // No value: nobody says, or it was sent again in several ways.
  std::optional<Again::How> how(const LostPacket& packet) const;
  // The host whose device had not sent the data when TCP sent them again.
  std::optional<std::string> kept_by(const LostPacket& packet) const;

 private:
  using Place = std::tuple<std::uint16_t, std::uint16_t, std::uint32_t>;
  struct Kept {
    std::uint32_t length;
    const std::string* host;
  };

  std::multimap<Place, Resent> resent_;
  std::multimap<Place, Kept> never_left_;
};

}  // namespace fieldline::analysis
