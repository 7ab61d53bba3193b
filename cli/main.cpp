// SPDX-License-Identifier: Apache-2.0
#include <netinet/in.h>
#include <signal.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <CLI/CLI.hpp>

#include "base/clock.h"
#include "cli/analysis_commands.h"
#include "cli/events.h"
#include "cli/exit_code.h"
#include "cli/live_commands.h"
#include "cli/magnet/usage.h"
#include "cli/ping.h"
#include "cli/query.h"
#include "cli/run_command.h"
#include "cli/runs.h"
#include "cli/spray.h"
#include "cli/status.h"
#include "cli/via.h"
#include "proto/digest.h"

namespace fieldline::cli {
namespace {

constexpr const char* kExamples =
    "Examples:\n"
    "  fieldline ping dtn2.example.net              all of your sockets to that host\n"
    "  fieldline ping dtn2.example.net --flow tcp:5201 --for 10m\n"
    "  fieldline run -- iperf3 -c dtn2.example.net  all sockets of a command, and why it was slow\n"
    "  fieldline path last                          where the last run lost packets and time\n"
    "  fieldline path a.pcap router.pcap b.pcap     the same from captures that you have\n"
    "  fieldline query last --flow tcp:5201 | tshark -r -\n"
    "  fieldline watch | wireshark -k -i -          the newest run, while it is on\n"
    "\nExit codes: 0 ok, 1 failure, 2 usage, 3 denied, 4 nothing answered, 5 partial.\n";
constexpr const char* kPingHelp =
    "A flow is tcp, tcp:PORT (of HOST), or tcp:LOCAL[:PORT]-REMOTE[:PORT] with * for any; udp, "
    "udplite, sctp and\n"
    "icmp likewise; esp or esp:SPI.\n"
    "LOCAL and REMOTE may be networks that you and HOST are in, 10.0.0.0/24 or [2001:db8::/64]: "
    "then every host of them\n"
    "is watched, if the sensors' policy allows that wide (min_prefix_v4, min_prefix_v6).\n"
    "--sample and --count ask for less where all packets are too many: losses are then told from "
    "the sample, or\n"
    "from counters alone.\n"
    "Exit codes: 0 every sensor that answered is activated and counted, 3 all refused, 4 nothing "
    "answered or no\n"
    "socket found, 5 partial: some refused, some without final counts, fewer than --wait, or no "
    "archive.\n";

constexpr const char* kRunHelp =
    "The command stands behind --: fieldline run [OPTIONS] -- iperf3 -c dtn2.example.net -P 4\n"
    "The command keeps its terminal and its streams; the report goes to standard error, or to "
    "FILE.\n"
    "Exit code: the command's (128 + N if signal N killed it), 127 it is not to be found, 126 it "
    "cannot be\n"
    "started, 125 nothing was started (archive, key, FILE), 2 usage.\n";

const char* environment(const char* name) {
  return std::getenv(name);
}

// The flags as typed, before they are checked.
struct Typed {
  Flags flags;
  PingOptions ping;
  RunsOptions runs;
  RunCommandOptions run;
  AnalysisCommands analysis;
  LiveCommands live;
  QueryOptions query;
  EventsOptions events;
  StatusOptions status;
  std::vector<std::string> flows;
  std::string source, duration = "60s", renew = "1s", archive_select = "own", flow, from, to;
  bool v4 = false, v6 = false, reindex_json = false;
};

void declare_ping(CLI::App& app, Typed& typed) {
  auto* ping = app.add_subcommand("ping", "switch on every sensor along the path to a host");
  ping->footer(kPingHelp);
  ping->add_option("HOST", typed.ping.host, "name or address of the flow's other end")->required();
  ping->add_option("--flow", typed.flows, "what to watch instead of your sockets; may be repeated")
      ->type_name("SPEC")
      ->allow_extra_args(false);
  auto* v4 = ping->add_flag("-4", typed.v4, "the host's IPv4 addresses alone");
  ping->add_flag("-6", typed.v6, "the host's IPv6 addresses alone")->excludes(v4);
  ping->add_option("--via", typed.ping.via,
                   "the flow's own host, which sends the triggers; keys stay and sign here")
      ->type_name("ssh:HOST");
  ping->add_option("--source", typed.source, "the flow's local address")->type_name("ADDR");
  auto* icmp = ping->add_flag("--icmp", typed.ping.icmp,
                              "send triggers as echo requests; the reply covers the way back");
  auto* spray = ping->add_option("--spray", typed.ping.spray,
                                 "send each trigger from N source ports, for paths of equal cost")
                    ->check(CLI::Range(1u, kSprayMax))
                    ->capture_default_str()
                    ->excludes(icmp)
                    ->type_name("N");
  ping->add_option("--port", typed.ping.port, "UDP port of the triggers")
      ->check(CLI::Range(1, 65535))
      ->capture_default_str()
      ->type_name("N");
  ping->add_option("--for", typed.duration, "how long: 90s, 10m, 1h30m")
      ->capture_default_str()
      ->type_name("TIME");
  ping->add_option("--renew", typed.renew, "time between pulses, 100ms to 4s")
      ->capture_default_str()
      ->type_name("TIME");
  ping->add_option("--snaplen", typed.ping.snaplen, "bytes of each packet; 0: its headers")
      ->check(CLI::Range(0, FL_SNAPLEN_MAX))
      ->capture_default_str()
      ->type_name("N");
  auto* sample = ping->add_option("--sample", typed.ping.sample_n,
                                  "record one of N packets, the same ones at every sensor; N is "
                                  "1, 2, 4, 8 ...");
  sample->check(CLI::Range(std::uint32_t{1}, std::uint32_t{1} << FL_SAMPLE_BITS_MAX))
      ->capture_default_str()
      ->type_name("N");
  // Spraying tells who saw data by the records of each port.
  sample->excludes(spray);
  ping->add_flag("--count", typed.ping.count, "counters alone: no packet is recorded")
      ->excludes(sample)
      ->excludes(spray);
  ping->add_option("--archive-select", typed.archive_select,
                   "where sensors send: own (each to its own), SHA256:... of one they know, or "
                   "requester: to that of --archive, on the host that sends the triggers")
      ->capture_default_str()
      ->type_name("own|requester|KEY");
  ping->add_option("--wait", typed.ping.wait,
                   "say when N sensors have confirmed; exit 5 if fewer did")
      ->type_name("N");
  ping->add_flag("--no-archive", typed.ping.no_archive, "only send; nothing tells what answered");
  ping->add_flag("--json", typed.ping.json, "one JSON document a line (fieldline.ping/1)");
}

void declare_run(CLI::App& app, Typed& typed) {
  auto* run = app.add_subcommand(
      "run", "record each socket of a command and its children; then why and path of it");
  run->footer(kRunHelp);
  run->add_option("--for", typed.run.duration, "at most so long: 10m, 12h")
      ->capture_default_str()
      ->type_name("TIME");
  run->add_option("--interval", typed.run.interval, "judge each stretch of so long by itself")
      ->capture_default_str()
      ->type_name("TIME");
  run->add_flag("--icmp", typed.run.terms.icmp,
                "send triggers as echo requests; the reply covers the way back");
  run->add_option("--port", typed.run.terms.port, "UDP port of the triggers")
      ->check(CLI::Range(1, 65535))
      ->capture_default_str()
      ->type_name("N");
  run->add_option("--snaplen", typed.run.terms.snaplen, "bytes of each packet; 0: its headers")
      ->check(CLI::Range(0, FL_SNAPLEN_MAX))
      ->capture_default_str()
      ->type_name("N");
  run->add_option("-o,--output", typed.run.output, "the report into a file, not to standard error")
      ->type_name("FILE");
  run->add_flag("--json", typed.run.json, "the whole report (fieldline.run/1)");
}

// The words of a command are its own: what stands behind `--` is not parsed. How many words are
// left.
int cut_command(int argc, char** argv, RunCommandOptions& run) {
  char** const end = argv + argc;
  char** const dashes = std::find(argv, end, std::string_view("--"));
  if (dashes == end || std::find(argv, dashes, std::string_view("run")) == dashes) return argc;
  run.command.assign(dashes + 1, end);
  return static_cast<int>(dashes - argv);
}

void declare_archive_commands(CLI::App& app, Typed& typed) {
  auto* runs = app.add_subcommand("runs", "list the runs that the archive holds, newest first");
  runs->add_option("--limit", typed.runs.limit, "at most so many")
      ->capture_default_str()
      ->type_name("N");
  runs->add_option("--before", typed.runs.before, "those that began before this run")
      ->type_name("RUN");
  auto* deleted = runs->add_flag("--deleted", typed.runs.deleted,
                                 "what was deleted instead, when and why, newest first");
  runs->add_flag("--prune", typed.runs.prune,
                 "delete the RUNs, or those of --older-than, if they are yours (admins: all)")
      ->excludes(deleted);
  runs->add_option("RUN", typed.runs.which, "which to prune: ids or their first digits");
  runs->add_option("--older-than", typed.runs.older_than,
                   "prune runs of which nothing was recorded for so long: 7d, 12h")
      ->type_name("TIME");
  runs->add_flag("--yes", typed.runs.yes, "prune without asking; else it only shows what would go");
  runs->add_flag("--json", typed.runs.json, "the archive's answer");

  auto* query = app.add_subcommand(
      "query", "get a run's packets as pcapng, for tshark, tcpdump and Wireshark");
  query->add_option("RUN", typed.query.run, "a run's id or its first digits, or last")->required();
  query->add_option("--flow", typed.flow, "only this flow, both directions")->type_name("SPEC");
  query->add_option("--vantage", typed.query.vantage, "only what this sensor saw: s1, or s1:eth0")
      ->type_name("V");
  query->add_option("--from", typed.from, "2026-11-21T23:11:00Z, @SECONDS, or =-5m")
      ->type_name("TIME");
  query->add_option("--to", typed.to, "up to, not including")->type_name("TIME");
  query->add_option("-o,--output", typed.query.output, "a file, or - for stdout")
      ->type_name("FILE");
  query->add_flag("--json", typed.query.json, "the counts on stderr as JSON");

  auto* events = app.add_subcommand(
      "events",
      "what the hosts' sockets did in a run and what applications said: records, tcp_info, events");
  events->add_option("RUN", typed.events.run, "a run's id or its first digits, or last")
      ->required();
  events->add_option("--sockid", typed.events.sockid, "only this socket, as `ss -e` shows it (sk:)")
      ->type_name("N");
  events
      ->add_option(
          "--event", typed.events.events,
          "only these: SOCK_SEND, TCP_INFO, a layer as tcp or app, gridftp.*; may be repeated")
      ->type_name("NAME")
      ->allow_extra_args(false);
  events
      ->add_option("--since", typed.events.since,
                   "1.5 or 90s from the start, 2026-11-21T23:11:00Z, @SECONDS")
      ->type_name("TIME");
  events->add_option("--until", typed.events.until, "up to, not including")->type_name("TIME");
  events->add_option("--host", typed.events.host, "only this host's")->type_name("NAME");
  auto* lines = events->add_flag("--json", typed.events.json,
                                 "one JSON document a line (fieldline.events/1)");
  events
      ->add_flag("--bp", typed.events.bp,
                 "applications' alone, as NetLogger writes them: ts= event=")
      ->excludes(lines);

  auto* status = app.add_subcommand("status", "counters of the archive and of its sensors");
  status->add_flag("--all", typed.status.all, "zeros too");
  status->add_flag("--json", typed.status.json, "the archive's answer");

  auto* archive = app.add_subcommand("archive", "tend an archive")->require_subcommand(1);
  archive->add_subcommand("reindex", "rebuild the index from the chunks (admins)")
      ->add_flag("--json", typed.reindex_json, "the archive's answer");
}

Result<void> check_ping(Typed& typed) {
  auto& ping = typed.ping;
  ping.family = typed.v4 ? AF_INET : typed.v6 ? AF_INET6 : AF_UNSPEC;
  for (const auto& one : typed.flows) {
    auto spec = FlowSpec::parse(one);
    if (!spec) return std::move(spec.error()).in("--flow");
    ping.flows.push_back(*spec);
  }
  if (!typed.source.empty()) {
    auto source = Address::parse(typed.source);
    if (!source) return std::move(source.error()).in("--source");
    ping.source = *source;
  }
  ping.for_ns = parse_duration_ns(typed.duration);
  if (ping.for_ns < kNanosPerSecond / 2 || ping.for_ns > 30ull * 86400 * kNanosPerSecond) {
    return fail(Code::invalid,
                "--for " + typed.duration + ": write a time such as 90s, 10m or 1h30m, up to 30d");
  }
  ping.renew_ns = parse_duration_ns(typed.renew);
  if (ping.renew_ns < kRenewMin || ping.renew_ns > kRenewMax) {
    return fail(Code::invalid, "--renew " + typed.renew +
                                   ": write 100ms to 4s; a pulse holds for 10 s, and one that "
                                   "is lost must leave no gap");
  }
  if (!std::has_single_bit(ping.sample_n)) {
    return fail(Code::invalid, "--sample " + std::to_string(ping.sample_n) +
                                   ": write a power of two, so that samples of different runs and "
                                   "sensors hold each other");
  }
  ping.at_requester = typed.archive_select == "requester";
  if (typed.archive_select != "own" && !ping.at_requester) {
    auto key = stream::parse_fingerprint(typed.archive_select);
    if (!key) {
      return std::move(key.error()).in("--archive-select: own, requester, or an archive's key");
    }
    ping.archive = *key;
  }
  return {};
}

Result<void> check_query(Typed& typed) {
  std::uint64_t now = SystemClock().utc_ns();
  if (!typed.flow.empty()) {
    auto spec = FlowSpec::parse(typed.flow);
    if (!spec) return std::move(spec.error()).in("--flow");
    typed.query.flow = *spec;
  }
  if (!typed.from.empty()) {
    auto time = parse_time(typed.from, now);
    if (!time) return std::move(time.error()).in("--from");
    typed.query.from_ns = *time;
  }
  if (!typed.to.empty()) {
    auto time = parse_time(typed.to, now);
    if (!time) return std::move(time.error()).in("--to");
    typed.query.to_ns = *time;
  }
  return {};
}

int dispatch(CLI::App& app, Typed& typed) {
  if (app.got_subcommand("version")) {
    std::puts("fieldline " FIELDLINE_VERSION);
    return kOk;
  }
  if (app.got_subcommand("send-pulses")) return send_pulses();
  auto settings = load_settings(typed.flags, environment);
  if (const auto code = typed.analysis.run(app, settings)) return *code;
  if (const auto code = typed.live.run(app, settings)) return *code;
  if (!settings) return complain(settings.error(), kUsage);
  if (app.got_subcommand("run")) {
    if (!typed.run.command.empty()) return run_command(typed.run, *settings);
    return complain(fail(Code::invalid, "run: write the command behind --: fieldline run -- CMD"),
                    kUsage);
  }
  if (app.got_subcommand("ping")) {
    if (auto checked = check_ping(typed); !checked) return complain(checked.error(), kUsage);
    return ping(typed.ping, *settings);
  }
  if (app.got_subcommand("query")) {
    if (auto checked = check_query(typed); !checked) return complain(checked.error(), kUsage);
    return query(typed.query, *settings);
  }
  if (app.got_subcommand("events")) return events(typed.events, *settings);
  if (app.got_subcommand("runs")) return runs(typed.runs, *settings);
  if (app.got_subcommand("status")) return status(typed.status, *settings);
  return reindex(typed.reindex_json, *settings);
}

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
  Typed typed;
  app.footer(kExamples);
  app.require_subcommand(1);
  app.fallthrough();
  app.set_version_flag("--version", "fieldline " FIELDLINE_VERSION);
  app.add_option("--archive", typed.flags.archives, "the archive to ask; FIELDLINE_ARCHIVE")
      ->type_name("HOST:PORT[#SHA256:...]")
      ->allow_extra_args(false);
  app.add_option("--identity", typed.flags.identity, "the SSH key to sign with; FIELDLINE_IDENTITY")
      ->type_name("FILE");
  app.add_option("--config", typed.flags.config,
                 "settings, else FIELDLINE_CONFIG or ~/.config/fieldline/config.toml")
      ->type_name("FILE");
  declare_ping(app, typed);
  declare_run(app, typed);
  typed.analysis.declare(app);
  typed.live.declare(app);
  declare_archive_commands(app, typed);
  app.add_subcommand("version", "print the version");
  app.add_subcommand("send-pulses", "the far end of ping --via, which starts it itself");
  try {
    app.parse(arguments_of(cut_command(argc, argv, typed.run), argv));
  } catch (const CLI::ParseError& error) {
    return end_usage("fieldline", app, error);
  }
  return dispatch(app, typed);
}

}  // namespace
}  // namespace fieldline::cli

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);  // a broken pipe is an error of write(), and no error of ours
  try {
    return fieldline::cli::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fieldline: a bug: %s; please report it with the command that you typed\n",
                 error.what());
    return fieldline::cli::kFailure;
  }
}
