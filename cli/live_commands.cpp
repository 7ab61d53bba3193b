// SPDX-License-Identifier: Apache-2.0
#include "cli/live_commands.h"

#include <CLI/CLI.hpp>

#include "cli/exit_code.h"

namespace fieldline::cli {

void LiveCommands::declare(CLI::App& app) {
  declare_watch(app);
  declare_extcap(app);
}

void LiveCommands::declare_watch(CLI::App& app) {
  auto* watch = app.add_subcommand(
      "watch", "a run's packets while they come, as pcapng: fieldline watch | wireshark -k -i -");
  watch->add_option("RUN", watch_.run, "a run's id or its first digits, or last")
      ->capture_default_str();
  watch->add_option("-w,--write", watch_.output, "a file or FIFO, or - for stdout")
      ->type_name("FILE");
  watch->add_option("--flow", flow_, "only this flow, both directions")->type_name("SPEC");
  watch->add_option("--vantage", watch_.vantage, "only what this sensor saw: s1, or s1:eth0")
      ->type_name("V");
  watch
      ->add_option("--wait", wait_,
                   "hold a packet so long at most for others to stand in front of it, up to 60s")
      ->capture_default_str()
      ->type_name("TIME");
  watch->add_flag("--json", watch_.json, "the counts on stderr as JSON (fieldline.watch/1)");
  watch->footer(
      "Examples:\n"
      "  fieldline watch | wireshark -k -i -          the newest run, while it is on\n"
      "  fieldline watch 3abcf0 --flow tcp:5201 | tshark -i -\n"
      "  fieldline watch --vantage s1 -w s1.pcapng\n");
}

// Wireshark of a later version may say more than is known here; that does no harm.
void LiveCommands::declare_extcap(CLI::App& app) {
  auto* extcap =
      app.add_subcommand("extcap", "runs as interfaces of Wireshark, which calls this itself")
          ->allow_extras()
          ->fallthrough(false);
  extcap->add_flag("--extcap-interfaces", extcap_.interfaces, "list the runs");
  extcap->add_option("--extcap-version", extcap_.version, "Wireshark's")->expected(0, 1);
  extcap->add_option("--extcap-interface", extcap_.interface, "fieldline-RUN");
  extcap->add_flag("--extcap-dlts", extcap_.dlts, "its link type");
  extcap->add_flag("--extcap-config", extcap_.config, "its options");
  extcap->add_option("--extcap-capture-filter", extcap_.filter, "a flow, as --flow of watch")
      ->expected(0, 1);
  extcap->add_flag("--capture", extcap_.capture, "watch it");
  extcap->add_option("--fifo", extcap_.fifo, "where packets go");
  extcap->add_option("--vantage", extcap_.vantage, "as of watch")->expected(0, 1);
  extcap->add_option("--wait", extcap_.wait, "as of watch")->capture_default_str();
  extcap->footer(
      "Examples:\n"
      "  tshark -D                                    the runs, as interfaces\n"
      "  tshark -i fieldline-3abcf0e2                 one of them, live\n"
      "  fieldline extcap --extcap-interfaces         the list as Wireshark gets it\n"
      "The first two need the program linked where Wireshark looks: docs/wireshark.md\n");
}

int LiveCommands::run_watch(const UserSettings& settings) {
  if (!flow_.empty()) {
    auto spec = FlowSpec::parse(flow_);
    if (!spec) return complain(std::move(spec.error()).in("--flow"), kUsage);
    watch_.flow = *spec;
  }
  auto wait = parse_wait(wait_);
  if (!wait) return complain(wait.error(), kUsage);
  watch_.wait_ns = *wait;
  return watch(watch_, settings);
}

std::optional<int> LiveCommands::run(CLI::App& app, const Result<UserSettings>& settings) {
  if (app.got_subcommand("extcap")) return extcap(extcap_, settings);
  if (!app.got_subcommand("watch")) return {};
  return settings ? run_watch(*settings) : complain(settings.error(), kUsage);
}

}  // namespace fieldline::cli
