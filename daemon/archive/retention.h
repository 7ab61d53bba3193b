// SPDX-License-Identifier: Apache-2.0
// What the rules ask for, by itself: no files, no index; time is an argument.
#pragma once

#include <cstdint>
#include <optional>

#include "archive/archive.h"
#include "base/file.h"

namespace fieldline::archive {

// A run that some session never ended is open for so long after its last sign of life; so long the
// newest chunk of a session waits for its producer to come back, which goes on behind it.
inline constexpr std::uint64_t kAwayNs = 24 * 3600 * kNanosPerSecond;

// May ages be judged by the clock? A clock that nothing keeps right may be years off, and one that
// jumped may have been set wrong: all that an archive holds would be too old at once. The jump is
// seen against CLOCK_MONOTONIC, and believed again when the clock has come back or somebody says
// so.
class ClockWatch {
 public:
  // As the clocks read now.
  void look(std::uint64_t utc_ns, std::uint64_t monotonic_ns, bool is_synchronised);
  void trust_again() { offset_.reset(); }

  bool is_right() const { return synchronised_ && !jumped_; }
  bool has_jumped() const { return jumped_; }

 private:
  std::optional<std::uint64_t> offset_;  // UTC minus monotonic, modulo 2^64, when it was trusted
  bool synchronised_ = false, jumped_ = false;
};

// What ought to go for want of room; 0 bytes: nothing.
struct Excess {
  std::uint64_t bytes = 0;
  Deletion::Reason reason = Deletion::Reason::free;
};
Excess excess(const Rules& rules, std::uint64_t held_bytes, const Space& space);

// With less room than this an archive takes nothing more: the index and the list of deletions need
// some, and a deletion is what makes room.
std::uint64_t floor_of(const Space& space);

}  // namespace fieldline::archive
