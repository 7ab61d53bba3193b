// SPDX-License-Identifier: Apache-2.0
#include "cli/runs.h"

#include <unistd.h>

#include "base/clock.h"
#include "cli/archive_link.h"
#include "cli/exit_code.h"
#include "cli/fields.h"
#include "cli/runs_prune.h"
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

std::string time_of(const json& run, const char* name) {
  const std::uint64_t at_ns = number_at(run, name);
  return at_ns == 0 ? "-" : format_utc(at_ns).substr(0, 19) + "Z";
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
    rows.push_back({printable(string_at(run, "run")).substr(0, 8),
                    printable(string_at(run, "principal")), time_of(run, "started_ns"),
                    length_of(run), grouped(number_at(run, "records")),
                    grouped(number_at(run, "events")), names(member(run, "sensors")), state_of(run),
                    grant_text(member(run, "grant"))});
  }
  if (rows.empty()) return "no runs yet; `fieldline ping HOST` makes one\n";
  return format_table(columns, rows);
}

std::string render_deleted(const json& answer) {
  std::vector<Column> columns = {{"RUN"},     {"PRINCIPAL"}, {"STARTED"}, {"RECORDS", Align::right},
                                 {"DELETED"}, {"WHY"}};
  std::vector<std::vector<std::string>> rows;
  for (const auto& run : member(answer, "deleted")) {
    const std::string reason = printable(string_at(run, "reason"));
    rows.push_back(
        {printable(string_at(run, "run")).substr(0, 8), names(member(run, "principals")),
         time_of(run, "started_ns"), grouped(number_at(run, "records")), time_of(run, "deleted_ns"),
         reason == "prune" ? "by " + printable(string_at(run, "by")) : "retention: " + reason});
  }
  if (rows.empty()) return "no run of yours was deleted here\n";
  return format_table(columns, rows);
}

int runs(const RunsOptions& options, const UserSettings& settings) {
  if (options.prune) return prune(options, settings);
  if (!options.which.empty() || !options.older_than.empty() || options.yes) {
    return complain(fail(Code::invalid, "runs: RUN, --older-than and --yes belong to --prune"),
                    kUsage);
  }
  json request = {{"op", "runs"}, {"limit", options.limit}};
  if (options.deleted) request["deleted"] = true;
  if (!options.before.empty()) request["before"] = options.before;
  auto answer = ask_archive(settings, request);
  if (!answer) return complain(answer.error());
  if (options.json) (*answer)["schema"] = "fieldline.runs/1";
  std::string text = options.json      ? json_text(*answer, 2) + "\n"
                     : options.deleted ? render_deleted(*answer)
                                       : render_runs(*answer);
  auto written = write_all(STDOUT_FILENO, text);
  return written || written.error().code == Code::closed ? kOk : complain(written.error());
}

}  // namespace fieldline::cli
