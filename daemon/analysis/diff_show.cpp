// SPDX-License-Identifier: Apache-2.0
// docs/format/diff.md, and the same for people.
#include <algorithm>

#include <fmt/format.h>

#include "analysis/diff.h"
#include "base/text.h"

namespace fieldline::analysis {
namespace {

using nlohmann::json;

const char* name_of(Difference::Kind kind) {
  switch (kind) {
    case Difference::Kind::setting:
      return "setting";
    case Difference::Kind::path:
      return "path";
    case Difference::Kind::loss:
      return "loss";
    case Difference::Kind::delay:
      return "delay";
    case Difference::Kind::limit:
      return "limit";
    case Difference::Kind::flow:
      return "flow";
  }
  return "";
}

std::string value_text(const json& value, const std::string& unit) {
  if (value.is_null()) return "-";
  if (value.is_number_float()) {
    const double number = value.get<double>();
    const int digits = number != 0 && std::abs(number) < 1 ? 4 : 2;
    return fmt::format("{:.{}f} {}", number, digits, unit);
  }
  return printable(value.is_string() ? value.get<std::string>() : value.dump());
}

std::string noise_text(const Difference& one) {
  if (one.kind == Difference::Kind::setting || one.kind == Difference::Kind::path) return "";
  if (!one.sigmas) return "noise not known";
  return one.within_noise() ? "within the noise" : "outside the noise";
}

std::string line_of(const Difference& one) {
  const std::string what = printable(one.subject) + (one.measure.empty() ? "" : ", " + one.measure);
  std::string line =
      fmt::format("{:<52} {:>14} -> {:<14} {}", what, value_text(one.before, one.unit),
                  value_text(one.after, one.unit), noise_text(one));
  return line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
}

}  // namespace

json to_json(const DiffReport& report) {
  json differences = json::array();
  for (const Difference& one : report.differences) {
    differences.push_back({{"kind", name_of(one.kind)},
                           {"subject", one.subject},
                           {"measure", one.measure.empty() ? json() : json(one.measure)},
                           {"before", one.before},
                           {"after", one.after},
                           {"unit", one.unit.empty() ? json() : json(one.unit)},
                           {"sigmas", one.sigmas ? json(std::min(*one.sigmas, 1e9)) : json()},
                           {"outside_noise", one.sigmas ? json(!one.within_noise()) : json()}});
  }
  return {{"schema", "fieldline.diff/1"},          {"before", report.before.hex()},
          {"after", report.after.hex()},           {"settings_equal", report.settings_equal},
          {"differences", std::move(differences)}, {"doubts", report.doubts}};
}

// What changed for certain first, then the figures; those within the noise last, and dimmed.
std::string to_table(const DiffReport& report, bool color) {
  std::string text =
      fmt::format("{} -> {}: {} settings are equal\n", printable(report.before_title),
                  printable(report.after_title), grouped(report.settings_equal));
  for (const std::string& line : report.doubts) text += "   * " + printable(line) + "\n";
  for (const bool within : {false, true}) {
    for (const Difference& one : report.differences) {
      if (one.within_noise() != within) continue;
      const std::string line = line_of(one);
      text += color && within ? "\033[2m" + line.substr(0, line.size() - 1) + "\033[0m\n" : line;
    }
  }
  return text;
}

}  // namespace fieldline::analysis
