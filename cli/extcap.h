// SPDX-License-Identifier: Apache-2.0
// Wireshark's extcap protocol (man 4 extcap): the user's runs appear among its interfaces, and
// capturing on one is to watch that run. Wireshark calls it as `fieldline-extcap`.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "cli/settings.h"

namespace fieldline::cli {

struct ExtcapOptions {
  bool interfaces = false, dlts = false, config = false, capture = false;
  std::string version;    // of who calls
  std::string interface;  // "fieldline-3abcf0e2": a run's first digits
  std::string fifo, filter, vantage;
  std::string wait = "500ms";
};

// The exit code. What it prints on standard output is read by Wireshark, errors on standard error
// are shown by it.
int extcap(const ExtcapOptions& options, const Result<UserSettings>& settings);

// Of the archive's answer to "runs": those that are on first, each group the newest first.
std::string extcap_interfaces(const nlohmann::json& answer);
// Why it cannot be used, or "".
std::string extcap_filter_fault(const std::string& filter);

}  // namespace fieldline::cli
