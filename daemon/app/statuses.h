// SPDX-License-Identifier: Apache-2.0
// What sensors and hosts say of themselves at the archive: the newest word of each, which nobody
// else can take the place of.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "base/run_id.h"
#include "stream/server.h"

namespace fieldline::app {

class Statuses {
 public:
  // A session of a producer whose key the archive pins for this name.
  void opened(const RunId& session, const stream::ProducerHello& hello);
  void closed(const RunId& session) { told_.erase(session); }

  // Counted where it is refused: it names another than the key is pinned for.
  Result<void> take(const RunId& session, const nlohmann::json& status);

  std::size_t size() const;
  std::uint64_t refused() const { return refused_; }
  nlohmann::json list() const;

 private:
  struct Told {
    stream::Fingerprint key;
    std::string name;
    nlohmann::json status;  // null: nothing yet
  };

  std::map<RunId, Told> told_;  // by session
  std::uint64_t refused_ = 0;
};

}  // namespace fieldline::app
