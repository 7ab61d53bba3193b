// SPDX-License-Identifier: Apache-2.0
// What changed between two runs, and whether by more than each of them varies in itself.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "analysis/why.h"

namespace fieldline::analysis {

struct Difference {
  enum class Kind { setting, path, loss, delay, limit, flow };

  Kind kind = Kind::setting;
  std::string subject;           // "a: net.ipv4.tcp_rmem", "-> s1 - s2", "queue on the path"
  std::string measure;           // "mean", "lost", "share"; empty: as it is
  nlohmann::json before, after;  // null: not there
  std::string unit;              // of numbers: "ms", "%"
  // By how many standard errors the numbers differ; none: the noise is not known.
  std::optional<double> sigmas;

  // Three standard errors: of a hundred comparisons of equals fewer than one is called a change.
  bool within_noise() const { return sigmas && *sigmas < 3; }
};

struct DiffReport {
  RunId before, after;
  std::string before_title, after_title;
  std::vector<Difference> differences;  // also those within the noise; equal settings are not here
  std::size_t settings_equal = 0;
  std::vector<std::string> doubts;
};

DiffReport compare(const WhyReport& before, const WhyReport& after);

nlohmann::json to_json(const DiffReport& report);  // docs/format/diff.md
std::string to_table(const DiffReport& report, bool color = false);

}  // namespace fieldline::analysis
