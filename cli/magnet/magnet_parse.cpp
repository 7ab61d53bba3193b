// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "cli/magnet/parse.h"
#include "cli/magnet/usage.h"

namespace fieldline::cli {
namespace {

constexpr const char* kTool = "magnet-parse";
constexpr const char* kFooter =
    "Records of all CPUs in the order of time, tab-separated: sockid, time, cpu, event, size, and "
    "with the module's\n"
    "ext=1 name=value of the record's extension. LOST stands where records found no room; its size "
    "says how many.\n"
    "What is damaged in a file is passed over and reported with its offset and length.\n\n"
    "Examples:\n"
    "  magnet-parse trace | less\n"
    "  magnet-parse --since 1.5 --until 2 --event tcp --sockid 4711 trace\n"
    "  magnet-parse --ctf folder trace && babeltrace2 folder\n\n"
    "Exit codes: 0 ok, 1 failure, 2 usage, 5 part of a file was damaged.\n";

struct Typed {
  ParseOptions options;
  std::string since, until, time = "seconds";
  std::vector<std::uint64_t> sockets;
  std::vector<std::string> events;
};

void declare(CLI::App& app, Typed& typed) {
  app.footer(kFooter);
  app.set_version_flag("--version", "magnet-parse " FIELDLINE_VERSION);
  app.add_option("FILE", typed.options.files, "trace files of magnet-read")->required();
  app.add_flag("--json", typed.options.json, "one JSON document a line (fieldline.magnet-parse/1)");
  app.add_option("--since", typed.since,
                 "1.5 or 90s from the start, 2026-11-21T23:11:00Z, @SECONDS")
      ->type_name("TIME");
  app.add_option("--until", typed.until, "up to, not including")->type_name("TIME");
  app.add_option("--sockid", typed.sockets,
                 "only this socket's; 0x6a for what `ss -e` shows as sk:6a; may be repeated")
      ->type_name("N")
      ->check(whole_number())
      ->allow_extra_args(false);
  app.add_option("--event", typed.events,
                 "only these: TCP_SEND, or a layer as tcp; may be repeated")
      ->type_name("NAME")
      ->allow_extra_args(false);
  app.add_option("--time", typed.time, "the time column; seconds are since the start")
      ->type_name("cycles|seconds|utc");
  app.add_option("--ctf", typed.options.ctf, "make a folder with a CTF 1.8 trace (babeltrace2)")
      ->type_name("DIR");
  app.add_option("--chrome", typed.options.chrome,
                 "write Chrome trace JSON (Perfetto); - is stdout")
      ->type_name("FILE");
}

Result<TimeColumn> time_column(const std::string& name) {
  if (name == "cycles") return TimeColumn::cycles;
  if (name == "seconds") return TimeColumn::seconds;
  if (name == "utc") return TimeColumn::utc;
  return fail(Code::invalid, "--time " + name + ": write cycles, seconds or utc");
}

Result<void> check(Typed& typed) {
  auto& filter = typed.options.filter;
  auto time = time_column(typed.time);
  if (!time) return time.error();
  typed.options.time = *time;
  if (typed.options.json && typed.options.chrome == "-")
    return fail(Code::invalid, "--json and --chrome - would both write to standard output");
  if (!typed.since.empty()) {
    if (auto since = filter.since(typed.since); !since) return since;
  }
  if (!typed.until.empty()) {
    if (auto until = filter.until(typed.until); !until) return until;
  }
  for (std::uint64_t sockid : typed.sockets) filter.add_socket(sockid);
  for (const auto& event : typed.events) {
    if (auto added = filter.add_event(event); !added) return added;
  }
  return {};
}

int run(int argc, char** argv) {
  CLI::App app("magnet-parse: show what magnet-read wrote", kTool);
  Typed typed;
  declare(app, typed);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return end_usage(kTool, app, error);
  }
  if (auto checked = check(typed); !checked) {
    say(kTool, checked.error().text());
    return kUsage;
  }
  return parse(typed.options, STDOUT_FILENO);
}

}  // namespace
}  // namespace fieldline::cli

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);  // a broken pipe is an error of write(), and no error of ours
  try {
    return fieldline::cli::run(argc, argv);
  } catch (const std::exception& error) {
    fieldline::cli::say("magnet-parse", std::string("a bug: ") + error.what());
    return fieldline::cli::kFailure;
  }
}
