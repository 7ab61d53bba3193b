// SPDX-License-Identifier: Apache-2.0
#include "cli/runs_prune.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "base/clock.h"
#include "cli/archive_link.h"
#include "cli/exit_code.h"
#include "cli/fields.h"
#include "cli/text.h"

namespace fieldline::cli {

using nlohmann::json;

namespace {

json of_fate(const json& answer, const std::string& fate) {
  json runs = json::array();
  for (const auto& run : member(answer, "runs")) {
    if (string_at(run, "fate") == fate) runs.push_back(run);
  }
  return runs;
}

Result<json> request_of(const RunsOptions& options) {
  json request = {{"op", "prune"}, {"dry_run", true}};
  if (!options.which.empty()) request["runs"] = options.which;
  if (!options.older_than.empty()) {
    const std::uint64_t span = parse_duration_ns(options.older_than);
    if (span == 0)
      return fail(Code::invalid, "--older-than " + options.older_than + ": write 7d, 12h or 90m");
    request["older_than_ns"] = span;
  }
  if (options.which.empty() && options.older_than.empty())
    return fail(Code::invalid, "runs --prune: name RUNs, or give --older-than 7d");
  return {boost::system::in_place_value, std::move(request)};
}

bool is_confirmed(std::size_t runs) {
  std::fprintf(stderr, "Delete %s? They cannot be had back. [y/N] ",
               runs == 1 ? "this run" : ("these " + std::to_string(runs) + " runs").c_str());
  std::string line;
  std::getline(std::cin, line);
  return line == "y" || line == "Y" || line == "yes";
}

int show(const json& answer, bool as_json, int code) {
  std::string text = render_prune(answer);
  if (as_json) {
    json document = answer;
    document["schema"] = "fieldline.prune/1";
    text = json_text(document, 2) + "\n";
  }
  auto written = write_all(STDOUT_FILENO, text);
  return written || written.error().code == Code::closed ? code : complain(written.error());
}

}  // namespace

int prune_exit(const json& answer) {
  const std::size_t all = member(answer, "runs").size();
  const std::size_t gone = of_fate(answer, "deleted").size();
  if (gone == all) return kOk;
  if (gone > 0) return kPartial;
  return of_fate(answer, "not_yours").size() == all ? kDenied : kPartial;
}

std::string render_prune(const json& answer) {
  const bool is_dry = true_at(answer, "dry_run");
  const json gone = of_fate(answer, "deleted");
  std::string text;
  if (!gone.empty()) text = render_runs({{"runs", gone}});
  auto line = [&](const json& runs, const std::string& why) {
    for (const auto& run : runs) text += printable(string_at(run, "run")).substr(0, 8) + why + "\n";
  };
  line(of_fate(answer, "open"), " stays: it is on; end it first");
  line(of_fate(answer, "not_yours"), " stays: it is another's as well; an admin may delete it");
  text += std::to_string(gone.size()) + (gone.size() == 1 ? " run" : " runs") +
          (is_dry ? " would be deleted" : " deleted") + "\n";
  if (true_at(answer, "more")) text += "there may be more; ask again afterwards\n";
  return text;
}

// What is deleted in the end are the runs that were shown, by their whole ids.
int prune(const RunsOptions& options, const UserSettings& settings) {
  auto request = request_of(options);
  if (!request) return complain(request.error(), kUsage);
  const bool asks = !options.yes && !options.json && ::isatty(STDIN_FILENO) == 1;
  if (options.yes) (*request)["dry_run"] = false;
  auto answer = ask_archive(settings, *request);
  if (!answer) return complain(answer.error());
  const int code = prune_exit(*answer);
  if (options.yes || options.json) return show(*answer, options.json, code);
  if (int shown = show(*answer, false, code); shown != code) return shown;
  const json runs = of_fate(*answer, "deleted");
  if (runs.empty()) return code;
  if (!asks) {
    note("nothing was deleted; --yes does it");
    return code;
  }
  if (!is_confirmed(runs.size())) {
    note("nothing was deleted");
    return kOk;
  }
  json ids = json::array();
  for (const auto& run : runs) ids.push_back(string_at(run, "run"));
  answer = ask_archive(settings, {{"op", "prune"}, {"dry_run", false}, {"runs", ids}});
  if (!answer) return complain(answer.error());
  note(std::to_string(of_fate(*answer, "deleted").size()) + " deleted");
  return prune_exit(*answer);
}

}  // namespace fieldline::cli
