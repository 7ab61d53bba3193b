// SPDX-License-Identifier: Apache-2.0
#include "cli/analysis_commands.h"

#include <CLI/CLI.hpp>

#include "base/clock.h"
#include "cli/exit_code.h"
#include "cli/text.h"

namespace fieldline::cli {
namespace {

CLI::Option* declare_input(CLI::App* command, AnalyzeOptions& input) {
  auto* what =
      command
          ->add_option("RUN", input.what,
                       "a run's id or its first digits, last, or captures of any kind, one a point")
          ->required();
  command
      ->add_option("--hosts", input.hosts,
                   "of captures: between which hosts (else those with most packets)")
      ->type_name("A,B");
  return what;
}

void declare_plot(CLI::App* command, std::string& file, const std::string& what) {
  command->add_option("--plot", file, what + ", drawn by gnuplot")->type_name("FILE.svg");
}

void examples(CLI::App* command, const std::string& lines) {
  command->footer("Examples:\n" + lines);
}

}  // namespace

void AnalysisCommands::declare(CLI::App& app) {
  declare_path(app);
  declare_time(app);
}

// What happened to the packets.
void AnalysisCommands::declare_path(CLI::App& app) {
  auto* path = app.add_subcommand(
      "path", "vantage points in path order; what each section lost and delayed");
  declare_input(path, path_.input);
  path->add_flag("--lost", path_.lost, "list each lost packet");
  path->add_flag("--check", path_.check, "exit 5 if the evidence is incomplete");
  declare_plot(path, path_.plot, "delay over time of each section");
  path->add_flag("--json", path_.json, "the whole report (fieldline.path/1)");
  examples(
      path,
      "  fieldline path last\n"
      "  fieldline path last --lost --check          each lost packet; exit 5 unless all is known\n"
      "  fieldline path a.pcap router.pcap b.pcap --plot delay.svg\n");

  auto* retrans = app.add_subcommand(
      "retrans", "each TCP retransmission, and why: lost where, acknowledgement lost, or spurious");
  declare_input(retrans, retrans_.input);
  retrans->add_flag("--all", retrans_.all, "list all of them, not the first 20");
  retrans->add_flag("--check", retrans_.check, "exit 5 if the evidence is incomplete");
  declare_plot(retrans, retrans_.plot, "time and sequence, as tcptrace draws it");
  retrans->add_flag("--json", retrans_.json, "the whole report (fieldline.retrans/1)");
  examples(retrans,
           "  fieldline retrans last --all\n"
           "  fieldline retrans a.pcap b.pcap --plot sequence.svg\n"
           "  fieldline retrans last --json | jq .totals\n");

  auto* owd = app.add_subcommand(
      "owd",
      "one-way delays of each section, whatever the clocks say; exit 5 unless all are known");
  declare_input(owd, owd_.input);
  declare_plot(owd, owd_.plot, "delay over time of each section, corrected");
  owd->add_flag("--json", owd_.json, "the whole report (fieldline.owd/1)");
  examples(owd,
           "  fieldline owd last\n"
           "  fieldline owd a.pcap b.pcap --plot delay.svg\n");

  auto* coverage = app.add_subcommand(
      "coverage", "what each vantage point saw, kept and missed; exit 5 unless complete");
  declare_input(coverage, coverage_.input);
  coverage->add_flag("--json", coverage_.json, "the whole report (fieldline.coverage/1)");
  examples(coverage,
           "  fieldline coverage last && echo nothing was missed\n"
           "  fieldline coverage a.pcap b.pcap\n");
}

// What it cost, and what changed.
void AnalysisCommands::declare_time(CLI::App& app) {
  auto* why = app.add_subcommand(
      "why", "what the flow's time went into: application, windows, loss, a queue, the receiver");
  declare_input(why, why_.input)->required(false);
  why->add_flag(
      "--local", why_.local,
      "this host's sockets, now: all, or those of flows (tcp:5201); or magnet-read's files");
  why->add_option("--for", why_.duration, "how long, with --local")
      ->capture_default_str()
      ->type_name("TIME");
  why->add_option("--interval", why_.interval, "judge each stretch of so long by itself")
      ->capture_default_str()
      ->type_name("TIME");
  why->add_flag("--json", why_.json, "the whole report (fieldline.why/1)");
  examples(why,
           "  fieldline why last --interval 1s\n"
           "  fieldline why --local                       this host, now: no sensor, no archive\n"
           "  fieldline why --local tcp:5201 --for 1m\n");

  auto* top = app.add_subcommand(
      "top", "each flow's bandwidth, retransmissions, round trip and losses while a run is on");
  declare_input(top, top_.input)->required(false)->default_str("last");
  top->add_option("--interval", top_interval_, "between two views, 100ms to 1h")
      ->capture_default_str()
      ->type_name("TIME");
  top->add_flag("--once", top_.once, "the totals so far, and end");
  top->add_flag("--json", top_.json, "one document a line and interval (fieldline.top/1)");
  examples(top,
           "  fieldline top                               the newest run, while it is on\n"
           "  fieldline top 3abcf0 --interval 5s\n"
           "  fieldline top a.pcap --once --json\n");

  auto* modulation = app.add_subcommand(
      "modulation",
      "sizes and gaps from send() through both stacks and every vantage point to recv()");
  declare_input(modulation, modulation_.input);
  modulation->add_flag("--json", modulation_.json, "the whole report (fieldline.modulation/1)");
  examples(modulation,
           "  fieldline modulation last\n"
           "  fieldline modulation a.pcap b.pcap --json\n");

  auto* diff = app.add_subcommand(
      "diff", "what changed between two runs: settings, path, loss, delay, limits; and the noise");
  diff->add_option("BEFORE", diff_.before, "a run, as for path, or its file")->required();
  diff->add_option("AFTER", diff_.after, "the other")->required();
  diff->add_flag("--json", diff_.json, "the whole report (fieldline.diff/1)");
  examples(diff,
           "  fieldline diff 3abcf0 last                  before and after a change of settings\n"
           "  fieldline diff before.pcapng after.pcapng   files of `fieldline query`\n");
}

Result<void> AnalysisCommands::check_top() {
  if (top_.input.what.empty()) top_.input.what = {"last"};
  auto interval = duration_in("--interval", top_interval_, 100 * kNanosPerMilli,
                              3600 * kNanosPerSecond, "1s or 500ms, 100ms to 1h");
  if (!interval) return interval.error();
  top_.interval_ns = *interval;
  return {};
}

std::optional<int> AnalysisCommands::run(CLI::App& app, const Result<UserSettings>& settings) {
  if (app.got_subcommand("path")) return path(path_, settings);
  if (app.got_subcommand("retrans")) return retrans(retrans_, settings);
  if (app.got_subcommand("owd")) return owd(owd_, settings);
  if (app.got_subcommand("coverage")) return coverage(coverage_, settings);
  if (app.got_subcommand("why")) return why(why_, settings);
  if (app.got_subcommand("modulation")) return modulation(modulation_, settings);
  if (app.got_subcommand("diff")) return diff(diff_, settings);
  if (!app.got_subcommand("top")) return {};
  if (auto checked = check_top(); !checked) return complain(checked.error(), kUsage);
  return top(top_, settings);
}

}  // namespace fieldline::cli
