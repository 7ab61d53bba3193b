// SPDX-License-Identifier: Apache-2.0
// The archive's house: looked after every few seconds, told of in the log and in the status, and
// pruned on request.
#pragma once

#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json.hpp>

#include "archive/archive.h"
#include "base/result.h"

namespace fieldline::app {

nlohmann::json to_json(const archive::RunSummary& run);

class House {
 public:
  // The archive outlives it.
  House(boost::asio::io_context& io, archive::Archive& archive) : archive_(archive), next_(io) {}

  void start() { look(); }
  void stop() { next_.cancel(); }
  void set_rules(const archive::Rules& rules);

  // Says a change for the worse or the better once.
  void tell_sync(const Result<void>& synced);

  // `by`: who asks; runs are named as he sees them. See docs/format/json.md.
  Result<nlohmann::json> prune(const nlohmann::json& request, const std::string& by, bool is_admin,
                               const archive::Principal& view);
  nlohmann::json deletions(std::size_t limit, const archive::Principal& view) const;
  nlohmann::json status() const;  // {"disk":{...},"retention":{...}}

 private:
  void look();
  void tell(const archive::Tended& tended);

  archive::Archive& archive_;
  boost::asio::steady_timer next_;
  archive::Rules rules_;
  std::string remark_, trouble_;  // as told last; empty: all is well
};

}  // namespace fieldline::app
