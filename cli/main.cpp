// SPDX-License-Identifier: Apache-2.0
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <CLI/CLI.hpp>

#include "cli/analysis_commands.h"
#include "cli/archive_commands.h"
#include "cli/exit_code.h"
#include "cli/live_commands.h"
#include "cli/magnet/usage.h"
#include "cli/settings.h"
#include "cli/trigger_commands.h"
#include "cli/via.h"

namespace fieldline::cli {
namespace {

constexpr const char* kExamples =
    "Examples:\n"
    "  fieldline ping dtn2.example.net              all of your sockets to that host\n"
    "  fieldline run -- iperf3 -c dtn2.example.net  all sockets of a command, and why it was slow\n"
    "  fieldline path last                          where the last run lost packets and time\n"
    "  fieldline path a.pcap router.pcap b.pcap     the same from captures that you have\n"
    "Each command has its own: fieldline COMMAND --help\n"
    "\nExit codes: 0 ok, 1 failure, 2 usage, 3 denied, 4 nothing answered, 5 partial; run has its "
    "command's.\n";

const char* environment(const char* name) {
  return std::getenv(name);
}

// Every command that there is; what is typed of each.
struct Commands {
  Flags flags;
  TriggerCommands triggers;
  AnalysisCommands analysis;
  LiveCommands live;
  ArchiveCommands archive;

  void declare(CLI::App& app) {
    triggers.declare(app);
    analysis.declare(app);
    live.declare(app);
    archive.declare(app);
    app.add_subcommand("version", "print the version");
    app.add_subcommand("send-pulses", "the far end of ping --via, which starts it itself");
    app.footer(kExamples);  // last: a command begins with what its parent has
  }

  int run(CLI::App& app) {
    if (app.got_subcommand("version")) {
      std::puts("fieldline " FIELDLINE_VERSION);
      return kOk;
    }
    if (app.got_subcommand("send-pulses")) return send_pulses();
    const auto settings = load_settings(flags, environment);
    if (const auto code = triggers.run(app, settings)) return *code;
    if (const auto code = analysis.run(app, settings)) return *code;
    if (const auto code = live.run(app, settings)) return *code;
    return archive.run(app, settings).value_or(kUsage);
  }
};

// Wireshark calls a program of its extcap folder with the protocol's options alone.
std::vector<std::string> arguments_of(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  if (std::string_view(argv[0]).ends_with("fieldline-extcap"))
    arguments.insert(arguments.begin(), "extcap");
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
  return arguments;
}

int run(int argc, char** argv) {
  CLI::App app("fieldline: where on the path does this flow lose its time and its packets?",
               "fieldline");
  Commands commands;
  app.require_subcommand(1);
  app.fallthrough();
  app.set_version_flag("--version", "fieldline " FIELDLINE_VERSION);
  app.add_option("--archive", commands.flags.archives, "the archive to ask; FIELDLINE_ARCHIVE")
      ->type_name("HOST:PORT[#SHA256:...]")
      ->allow_extra_args(false);
  app.add_option("--identity", commands.flags.identity,
                 "the SSH key to sign with; FIELDLINE_IDENTITY")
      ->type_name("FILE");
  app.add_option("--config", commands.flags.config,
                 "settings, else FIELDLINE_CONFIG or ~/.config/fieldline/config.toml")
      ->type_name("FILE");
  commands.declare(app);
  try {
    app.parse(arguments_of(commands.triggers.cut_command(argc, argv), argv));
  } catch (const CLI::ParseError& error) {
    return end_usage("fieldline", app, error);
  }
  return commands.run(app);
}

}  // namespace
}  // namespace fieldline::cli

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);  // a broken pipe is an error of write(), and no error of ours
  try {
    return fieldline::cli::run(argc, argv);
  } catch (const std::exception& error) {
    return fieldline::cli::complain(fieldline::cli::error_of(error));
  }
}
