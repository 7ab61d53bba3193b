// SPDX-License-Identifier: Apache-2.0
// Applications at the archive: pinned nowhere, each comes with the grant of its run and may write
// application events into that run, so many, and nothing else.
#pragma once

#include <cstdint>
#include <map>

#include <nlohmann/json.hpp>

#include "app/config.h"
#include "archive/archive.h"
#include "base/run_id.h"
#include "sense/trust.h"
#include "stream/server.h"

namespace fieldline::app {

class Applications {
 public:
  explicit Applications(const ApplicationLimits& limits) : limits_(limits) {}
  void set_limits(const ApplicationLimits& limits) { limits_ = limits; }

  // Whose run it may write into: one who is trusted signed the grant, and TLS showed the run's key.
  Result<archive::Owner> admit(const stream::ProducerHello& hello, const sense::Trust& trust,
                               std::uint64_t now_utc_ns);
  void opened(const RunId& session, const RunId& run) { runs_[session] = run; }
  void closed(const RunId& session) { runs_.erase(session); }

  // Of any session: an item that an application sends and may not, or that nobody else may.
  Result<void> judge(const RunId& session, std::uint8_t type, const stream::Item& item);
  // True, and counted, of an application: a status is shown to everybody.
  bool refuse_status(const RunId& session);

  nlohmann::json status() const;

 private:
  Result<archive::Owner> check(const stream::ProducerHello& hello, const sense::Trust& trust,
                               std::uint64_t now_utc_ns) const;

  ApplicationLimits limits_;
  std::map<RunId, RunId> runs_;  // by session, of those that are connected
  std::uint64_t events_ = 0, refused_grants_ = 0, refused_items_ = 0;
};

}  // namespace fieldline::app
