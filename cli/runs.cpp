// SPDX-License-Identifier: Apache-2.0
#include "cli/runs.h"

#include <unistd.h>

#include "base/clock.h"
#include "cli/archive_link.h"
#include "cli/exit_code.h"
#include "cli/fields.h"
#include "cli/text.h"

namespace fieldline::cli {

using nlohmann::json;

namespace {

std::string names(const json& list) {
  std::string text;
  for (const auto& name : list) {
    if (name.is_string()) text += (text.empty() ? "" : ",") + printable(name.get<std::string>());
  }
  return text.empty() ? "-" : text;
}

std::string length_of(const json& run) {
  std::uint64_t started = number_at(run, "started_ns"), ended = number_at(run, "ended_ns");
  return ended > started ? short_duration(ended - started) : "-";
}

std::string state_of(const json& run) {
  if (number_at(run, "ended_ns") == 0) return "on";
  return true_at(run, "complete") ? "complete" : "incomplete";
}

}  // namespace

std::string render_runs(const json& answer) {
  std::vector<Column> columns = {{"RUN"},
                                 {"PRINCIPAL"},
                                 {"STARTED"},
                                 {"FOR", Align::right},
                                 {"RECORDS", Align::right},
                                 {"EVENTS", Align::right},
                                 {"SENSORS"},
                                 {"STATE"},
                                 {"FLOW"}};
  std::vector<std::vector<std::string>> rows;
  for (const auto& run : member(answer, "runs")) {
    std::uint64_t started = number_at(run, "started_ns");
    rows.push_back(
        {printable(string_at(run, "run")).substr(0, 8), printable(string_at(run, "principal")),
         started == 0 ? "-" : format_utc(started).substr(0, 19) + "Z", length_of(run),
         grouped(number_at(run, "records")), grouped(number_at(run, "events")),
         names(member(run, "sensors")), state_of(run), grant_text(member(run, "grant"))});
  }
  if (rows.empty()) return "no runs yet; `fieldline ping HOST` makes one\n";
  return format_table(columns, rows);
}

int runs(const RunsOptions& options, const UserSettings& settings) {
  auto answer = ask_archive(settings, {{"op", "runs"}, {"limit", options.limit}});
  if (!answer) return complain(answer.error());
  if (options.json) (*answer)["schema"] = "fieldline.runs/1";
  std::string text = options.json ? json_text(*answer, 2) + "\n" : render_runs(*answer);
  auto written = write_all(STDOUT_FILENO, text);
  return written || written.error().code == Code::closed ? kOk : complain(written.error());
}

}  // namespace fieldline::cli
