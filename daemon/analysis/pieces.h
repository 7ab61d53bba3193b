// SPDX-License-Identifier: Apache-2.0
// Stretches of TCP streams, and which of them overlap another one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "analysis/sighting.h"

namespace fieldline::analysis {

struct Piece {
  std::uint32_t flow = UINT32_MAX;
  std::uint32_t sequence = 0;
  std::uint32_t payload = 0;  // 0: of no stream

  bool operator==(const Piece&) const = default;
};

inline Piece piece_of(const Observation& seen) {
  return {seen.flow, seen.sequence, (seen.flags & kCarriesTcp) ? seen.payload : 0u};
}

class Pieces {
 public:
  struct Entry {
    Piece piece;
    std::uint64_t time;
    std::uint32_t number;  // the caller's
  };

  explicit Pieces(std::vector<Entry> entries) : entries_(std::move(entries)) {
    std::sort(entries_.begin(), entries_.end(),
              [](const Entry& a, const Entry& b) { return key_of(a.piece) < key_of(b.piece); });
  }

  // Whether bytes of this one are in others of about the same time, which begin or end elsewhere;
  // found(number) for each of those. More than kMost at one place: taken as if.
  template <class Found>
  bool hold_otherwise(const Piece& piece, std::uint64_t time, std::uint64_t slack,
                      Found found) const {
    if (piece.payload == 0) return false;
    const std::uint32_t first = piece.sequence - kPayloadMax, last = piece.sequence + piece.payload;
    if (first < last) return look(piece, first, last, time, slack, found);
    const bool low = look(piece, 0, last, time, slack, found);  // the sequence numbers wrap
    return look(piece, first, UINT32_MAX, time, slack, found) || low;
  }

 private:
  static constexpr std::uint32_t kPayloadMax = UINT16_MAX;  // Observation::payload
  static constexpr std::size_t kMost = 256;

  static std::pair<std::uint32_t, std::uint32_t> key_of(const Piece& piece) {
    return {piece.flow, piece.sequence};
  }

  template <class Found>
  bool look(const Piece& piece, std::uint32_t first, std::uint32_t last, std::uint64_t time,
            std::uint64_t slack, Found& found) const {
    const auto begin = std::lower_bound(
        entries_.begin(), entries_.end(), std::pair{piece.flow, first},
        [](const Entry& entry, const auto& key) { return key_of(entry.piece) < key; });
    bool any = false;
    std::size_t looked = 0;
    for (auto at = begin; at != entries_.end() && at->piece.flow == piece.flow; ++at) {
      if (at->piece.sequence > last) break;
      if (++looked > kMost) return true;
      const auto from = static_cast<std::int32_t>(at->piece.sequence - piece.sequence);
      const bool overlaps = from < static_cast<std::int32_t>(piece.payload) &&
                            from + static_cast<std::int32_t>(at->piece.payload) > 0;
      const std::uint64_t apart = at->time > time ? at->time - time : time - at->time;
      if (!overlaps || at->piece == piece || apart > slack) continue;
      found(at->number);
      any = true;
    }
    return any;
  }

  std::vector<Entry> entries_;  // by flow and sequence
};

}  // namespace fieldline::analysis
