// SPDX-License-Identifier: Apache-2.0
// What chronyd knows of this host's clock, where it runs: asked for on its command port, as
// `chronyc tracking` does. Without `rtcsync` chronyd leaves the kernel to call its clock
// unsynchronized, and with several sources it knows more than the kernel in any case.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/fd.h"

namespace fieldline::source {

struct ChronyTracking {
  bool synchronized = false;
  std::uint16_t stratum = 0;
  std::int64_t offset_ns = 0;  // of UTC, still to be slewed away
  std::uint64_t root_delay_ns = 0, root_dispersion_ns = 0;

  // The most that UTC may be wrong by (chronyc(1), "tracking").
  std::uint64_t error_ns() const {
    return root_delay_ns / 2 + root_dispersion_ns +
           static_cast<std::uint64_t>(offset_ns < 0 ? -offset_ns : offset_ns);
  }
};

// Version 6 of the command protocol, of chrony 2.2 and later.
Bytes chrony_request(std::uint32_t sequence);
// No value: not a whole and good answer to that request.
std::optional<ChronyTracking> parse_chrony_reply(ByteView reply, std::uint32_t sequence);

class Chrony {
 public:
  static constexpr std::uint16_t kPort = 323;
  static constexpr unsigned kStale = 4;
  explicit Chrony(std::uint16_t port = kPort);

  // Never waits: takes the answer to the request of the last call, and asks again. Called once a
  // second. An answer stands until kStale calls had none: one that came late shall not make the
  // clock look as bad as without chronyd. No value: nobody answers.
  std::optional<ChronyTracking> tracking();

 private:
  Fd socket_;
  std::uint32_t sequence_ = 0;
  std::optional<ChronyTracking> newest_;
  unsigned unanswered_ = 0;  // calls since
};

}  // namespace fieldline::source
