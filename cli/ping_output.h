// SPDX-License-Identifier: Apache-2.0
// What ping says on stdout: JSON lines (fieldline.ping/1), a table that is redrawn on a terminal,
// or a line a change.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "cli/live_table.h"
#include "cli/run_grant.h"

namespace fieldline::cli {

class PingOutput {
 public:
  enum class Form { json, terminal, lines };
  explicit PingOutput(Form form) : form_(form), screen_(1) {}

  Form form() const { return form_; }
  bool closed() const { return closed_; }  // nobody reads any more

  // On stderr, below the table that stands on the terminal.
  void remark(const std::string& text);
  void granted(const RunGrant& grant, const Plan& plan, const std::string& key,
               const std::string& principal);
  void pulse(const RunGrant& grant, std::uint64_t at_ns, bool ending);
  void activation(const WatchEvent& event);
  void counts(const WatchEvent& event);
  // wanted: --wait, 0 if not asked for.
  void activated(const std::string& sensor, std::size_t count, unsigned wanted);
  void ended(const RunGrant& grant, const std::string& reason);
  void live(const std::string& table);  // terminal alone
  void final_table(const std::string& table);
  void summary(const nlohmann::json& summary, const std::string& text);

 private:
  void event(const char* name, nlohmann::json fields);
  void line(const std::string& text);
  void put(const std::string& text);

  Form form_;
  LiveScreen screen_;
  bool closed_ = false;
};

}  // namespace fieldline::cli
