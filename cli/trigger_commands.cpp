// SPDX-License-Identifier: Apache-2.0
#include "cli/trigger_commands.h"

#include <netinet/in.h>

#include <algorithm>
#include <string_view>

#include <CLI/CLI.hpp>

#include "base/clock.h"
#include "cli/exit_code.h"
#include "cli/text.h"

namespace fieldline::cli {
namespace {

constexpr const char* kPingHelp =
    "A flow is tcp, tcp:PORT (of HOST), or tcp:LOCAL[:PORT]-REMOTE[:PORT] with * for any; udp, "
    "udplite, sctp and\n"
    "icmp likewise; esp or esp:SPI.\n"
    "LOCAL and REMOTE may be networks that you and HOST are in, 10.0.0.0/24 or [2001:db8::/64]: "
    "then every host of them\n"
    "is watched, if the sensors' policy allows that wide (min_prefix_v4, min_prefix_v6).\n"
    "--sample and --count ask for less where all packets are too many: losses are then told from "
    "the sample, or\n"
    "from counters alone. --spray needs every packet: neither goes with it.\n"
    "Exit codes: 0 every sensor that answered is activated and counted, 3 all refused, 4 nothing "
    "answered or no\n"
    "socket found, 5 partial: some refused, some without final counts, fewer than --wait, or no "
    "archive.\n"
    "\nExamples:\n"
    "  fieldline ping dtn2.example.net                   all of your sockets to that host\n"
    "  fieldline ping dtn2.example.net --flow tcp:5201 --for 10m\n"
    "  fieldline ping dtn2.example.net --via ssh:dtn1    the flow is dtn1's; your key stays here\n";

constexpr const char* kRunHelp =
    "The command stands behind --. It keeps its terminal and its streams; the report goes to "
    "standard error, or\n"
    "to FILE.\n"
    "Exit code: the command's (128 + N if signal N killed it). Fieldline's own: 2 wrong usage, "
    "125 the command was\n"
    "not started (settings, archive, key, FILE) or how it ended is not known, 126 it cannot be "
    "started, 127 it is\n"
    "not to be found. The message on standard error begins with `fieldline:`.\n"
    "\nExamples:\n"
    "  fieldline run -- iperf3 -c dtn2.example.net -P 4\n"
    "  fieldline run --json -o report.json -- ./transfer --all\n"
    "  fieldline run --sample 64 -- globus-url-copy file:///data/a ftp://dtn2.example.net/a\n";

// What ping has and makes no sense here is answered with what does.
void refuse(CLI::App& command, const char* option, const char* reason) {
  const auto refused = [=](const std::string&) { throw CLI::ValidationError(option, reason); };
  command.add_option_function<std::string>(option, refused)->group("")->expected(0, 1);
}

}  // namespace

int TriggerCommands::cut_command(int argc, char** argv) {
  char** const end = argv + argc;
  char** const dashes = std::find(argv, end, std::string_view("--"));
  if (dashes == end || std::find(argv, dashes, std::string_view("run")) == dashes) return argc;
  run_.command.assign(dashes + 1, end);
  return static_cast<int>(dashes - argv);
}

void TriggerCommands::declare(CLI::App& app) {
  declare_ping(app);
  declare_run(app);
}

void TriggerCommands::declare_ping(CLI::App& app) {
  auto* ping = app.add_subcommand("ping", "switch on every sensor along the path to a host");
  ping->footer(kPingHelp);
  ping->add_option("HOST", ping_.host, "name or address of the flow's other end")->required();
  ping->add_option("--flow", flows_, "what to watch instead of your sockets; may be repeated")
      ->type_name("SPEC")
      ->allow_extra_args(false);
  auto* v4 = ping->add_flag("-4", v4_, "the host's IPv4 addresses alone");
  ping->add_flag("-6", v6_, "the host's IPv6 addresses alone")->excludes(v4);
  ping->add_option("--via", ping_.via,
                   "the flow's own host, which sends the triggers; keys stay and sign here")
      ->type_name("ssh:HOST");
  ping->add_option("--source", source_, "the flow's local address")->type_name("ADDR");
  ping_flags_.declare(*ping);
  ping->add_option("--wait", ping_.wait, "say when N sensors have confirmed; exit 5 if fewer did")
      ->type_name("N");
  ping->add_flag("--no-archive", ping_.no_archive, "only send; nothing tells what answered");
  ping->add_flag("--json", ping_.json, "one JSON document a line (fieldline.ping/1)");
}

void TriggerCommands::declare_run(CLI::App& app) {
  auto* run = app.add_subcommand(
      "run", "record each socket of a command and its children; then why and path of it");
  run->footer(kRunHelp);
  run->add_option("--interval", interval_, "judge each stretch of so long by itself")
      ->capture_default_str()
      ->type_name("TIME");
  run_flags_.declare(*run);
  run->add_option("-o,--output", run_.output, "the report into a file, not to standard error")
      ->type_name("FILE");
  run->add_flag("--json", run_.json, "the whole report (fieldline.run/1)");
  refuse(*run, "--via",
         "the command runs here, and with it its sockets; start it there (ssh HOST "
         "fieldline run -- CMD), or watch what runs there with `fieldline ping --via`");
  refuse(*run, "--flow",
         "a command's flows are those of its sockets; a flow that you can name is "
         "for `fieldline ping HOST --flow`");
  refuse(*run, "--no-archive",
         "the report is made of what the archive has; `fieldline ping "
         "--no-archive` sends and asks nothing");
}

int TriggerCommands::run_ping(const Result<UserSettings>& settings) {
  if (!settings) return complain(settings.error(), kUsage);
  auto terms = ping_flags_.check(&*settings);
  if (!terms) return complain(terms.error(), kUsage);
  if (ping_flags_.at_requester() && ping_.no_archive) {
    return complain(fail(Code::invalid,
                         "--archive-select requester selects the archive that --archive names: it "
                         "goes not with --no-archive"),
                    kUsage);
  }
  ping_.terms = *terms;
  ping_.family = v4_ ? AF_INET : v6_ ? AF_INET6 : AF_UNSPEC;
  for (const auto& one : flows_) {
    auto spec = FlowSpec::parse(one);
    if (!spec) return complain(std::move(spec.error()).in("--flow"), kUsage);
    ping_.flows.push_back(*spec);
  }
  if (!source_.empty()) {
    auto source = Address::parse(source_);
    if (!source) return complain(std::move(source.error()).in("--source"), kUsage);
    ping_.source = *source;
  }
  return ping(ping_, *settings);
}

// A usage error is what was typed alone: whatever else keeps the command from its start is kNotRun.
int TriggerCommands::run_run(const Result<UserSettings>& settings) {
  auto terms = run_flags_.check(settings ? &*settings : nullptr);
  if (!terms) return complain(terms.error(), kUsage);
  run_.terms = *terms;
  auto interval = duration_in("--interval", interval_, kNanosPerMilli, 3600 * kNanosPerSecond,
                              "100ms or 1s, 1ms to 1h");
  if (!interval) return complain(interval.error(), kUsage);
  run_.interval_ns = *interval;
  if (run_.command.empty()) {
    return complain(fail(Code::invalid, "run: write the command behind --: fieldline run -- CMD"),
                    kUsage);
  }
  return run_command(run_, settings);
}

std::optional<int> TriggerCommands::run(CLI::App& app, const Result<UserSettings>& settings) {
  if (app.got_subcommand("ping")) return run_ping(settings);
  if (app.got_subcommand("run")) return run_run(settings);
  return {};
}

}  // namespace fieldline::cli
