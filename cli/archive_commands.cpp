// SPDX-License-Identifier: Apache-2.0
#include "cli/archive_commands.h"

#include <CLI/CLI.hpp>

#include "base/clock.h"
#include "cli/events.h"
#include "cli/exit_code.h"
#include "cli/magnet/usage.h"

namespace fieldline::cli {

void ArchiveCommands::declare(CLI::App& app) {
  declare_runs(app);
  declare_query(app);
  declare_events(app);
  declare_tending(app);
}

void ArchiveCommands::declare_runs(CLI::App& app) {
  auto* runs = app.add_subcommand("runs", "list the runs that the archive holds, newest first");
  runs->add_option("--limit", runs_.limit, "at most so many")
      ->capture_default_str()
      ->type_name("N");
  runs->add_option("--before", runs_.before, "those that began before this run")->type_name("RUN");
  auto* deleted = runs->add_flag("--deleted", runs_.deleted,
                                 "what was deleted instead, when and why, newest first");
  runs->add_flag("--prune", runs_.prune,
                 "delete the RUNs, or those of --older-than, if they are yours (admins: all)")
      ->excludes(deleted);
  runs->add_option("RUN", runs_.which, "which to prune: ids or their first digits");
  runs->add_option("--older-than", runs_.older_than,
                   "prune runs of which nothing was recorded for so long: 7d, 12h")
      ->type_name("TIME");
  runs->add_flag("--yes", runs_.yes, "prune without asking; else it only shows what would go");
  runs->add_flag("--json", runs_.json, "the archive's answer");
  runs->footer(
      "Examples:\n"
      "  fieldline runs --limit 5\n"
      "  fieldline runs --prune --older-than 30d     what would be deleted; with --yes it is\n"
      "  fieldline runs --deleted                    what was, when and why\n");
}

void ArchiveCommands::declare_query(CLI::App& app) {
  auto* query = app.add_subcommand(
      "query", "get a run's packets as pcapng, for tshark, tcpdump and Wireshark");
  query->add_option("RUN", query_.run, "a run's id or its first digits, or last")->required();
  query->add_option("--flow", flow_, "only this flow, both directions")->type_name("SPEC");
  query->add_option("--vantage", query_.vantage, "only what this sensor saw: s1, or s1:eth0")
      ->type_name("V");
  query->add_option("--from", from_, "2026-11-21T23:11:00Z, @SECONDS, or =-5m")->type_name("TIME");
  query->add_option("--to", to_, "up to, not including")->type_name("TIME");
  query->add_option("-o,--output", query_.output, "a file, or - for stdout")->type_name("FILE");
  query->add_flag("--json", query_.json, "the counts on stderr as JSON");
  query->footer(
      "Examples:\n"
      "  fieldline query last -o run.pcapng\n"
      "  fieldline query last --flow tcp:5201 | tshark -r -\n"
      "  fieldline query 3abcf0 --vantage s1 --from=-5m -o s1.pcapng\n");
}

void ArchiveCommands::declare_events(CLI::App& app) {
  auto* events = app.add_subcommand(
      "events",
      "what the hosts' sockets did in a run and what applications said: records, tcp_info, events");
  events->add_option("RUN", events_.run, "a run's id or its first digits, or last")->required();
  events
      ->add_option("--sockid", events_.sockid,
                   "only this socket; 0x6a for what `ss -e` shows as sk:6a")
      ->type_name("N")
      ->check(whole_number());
  events
      ->add_option(
          "--event", events_.events,
          "only these: SOCK_SEND, TCP_INFO, a layer as tcp or app, gridftp.*; may be repeated")
      ->type_name("NAME")
      ->allow_extra_args(false);
  events
      ->add_option("--since", events_.since,
                   "1.5 or 90s from the start, 2026-11-21T23:11:00Z, @SECONDS")
      ->type_name("TIME");
  events->add_option("--until", events_.until, "up to, not including")->type_name("TIME");
  events->add_option("--host", events_.host, "only this host's")->type_name("NAME");
  auto* lines =
      events->add_flag("--json", events_.json, "one JSON document a line (fieldline.events/1)");
  events->add_flag("--bp", events_.bp, "applications' alone, as NetLogger writes them: ts= event=")
      ->excludes(lines);
  events->footer(
      "Examples:\n"
      "  fieldline events last --event TCP_RETRANS\n"
      "  fieldline events last --sockid 0x1149 --since 1.5 --until 2\n"
      "  fieldline events last --host dtn1 --json | jq .event\n"
      "  fieldline events last --bp                  what applications said of themselves\n");
}

void ArchiveCommands::declare_tending(CLI::App& app) {
  auto* status = app.add_subcommand("status", "counters of the archive and of its sensors");
  status->add_flag("--all", status_.all, "zeros too");
  status->add_flag("--json", status_.json, "the archive's answer");
  status->footer(
      "Examples:\n"
      "  fieldline status           which sensors are there, and what they refused or lost\n"
      "  fieldline status --json | jq '.sensors[].sensor'\n");

  auto* archive = app.add_subcommand("archive", "tend an archive")->require_subcommand(1);
  auto* reindex = archive->add_subcommand("reindex", "rebuild the index from the chunks (admins)");
  reindex->add_flag("--json", reindex_json_, "the archive's answer");
  const char* reindexing =
      "Examples:\n"
      "  fieldline archive reindex           what it found, and what of it was damaged\n"
      "  fieldline archive reindex --json\n";
  archive->footer(reindexing);
  reindex->footer(reindexing);
}

Result<void> ArchiveCommands::check_query() {
  std::uint64_t now = SystemClock().utc_ns();
  if (!flow_.empty()) {
    auto spec = FlowSpec::parse(flow_);
    if (!spec) return std::move(spec.error()).in("--flow");
    query_.flow = *spec;
  }
  if (!from_.empty()) {
    auto time = parse_time(from_, now);
    if (!time) return std::move(time.error()).in("--from");
    query_.from_ns = *time;
  }
  if (!to_.empty()) {
    auto time = parse_time(to_, now);
    if (!time) return std::move(time.error()).in("--to");
    query_.to_ns = *time;
  }
  return {};
}

std::optional<int> ArchiveCommands::run(CLI::App& app, const Result<UserSettings>& settings) {
  const auto given = [&](const char* name) { return app.got_subcommand(name); };
  if (!given("runs") && !given("query") && !given("events") && !given("status") &&
      !given("archive"))
    return {};
  if (!settings) return complain(settings.error(), kUsage);
  if (given("query")) {
    if (auto checked = check_query(); !checked) return complain(checked.error(), kUsage);
    return query(query_, *settings);
  }
  if (given("events")) return events(events_, *settings);
  if (given("runs")) return runs(runs_, *settings);
  if (given("status")) return status(status_, *settings);
  return reindex(reindex_json_, *settings);
}

}  // namespace fieldline::cli
