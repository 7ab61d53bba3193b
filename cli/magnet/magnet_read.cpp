// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>

#include <CLI/CLI.hpp>

#include "base/fd.h"
#include "base/text.h"
#include "cli/magnet/read_loop.h"
#include "cli/magnet/read_report.h"
#include "cli/magnet/tool.h"
#include "cli/magnet/usage.h"
#include "magnet/accounting.h"
#include "magnet/device.h"

namespace fieldline::cli {
namespace {

constexpr const char* kTool = "magnet-read";
constexpr const char* kFooter =
    "Reads the rings of all CPUs until the file is full, --for is over, or SIGINT or SIGTERM "
    "comes. A file that holds\n"
    "records of this boot is continued. --delay auto sleeps for half of the time in which the "
    "fullest ring would fill,\n"
    "from 0.2 to 50 ms; without records it sleeps until there are some.\n\n"
    "Example:\n"
    "  mkmagnet trace 256M && magnet-read --for 60s trace && magnet-parse trace\n\n"
    "Exit codes: 0 ok, 1 failure, 2 usage, 3 no rights, 5 a device went away.\n";

struct Typed {
  std::string file, delay = "auto", duration, devices = "/dev";
  bool json = false, trim = false;
};

void declare(CLI::App& app, Typed& typed) {
  app.footer(kFooter);
  app.set_version_flag("--version", "magnet-read " FIELDLINE_VERSION);
  app.add_option("FILE", typed.file, "a trace file, made by mkmagnet")->required();
  app.add_option("--delay", typed.delay, "sleep between two rounds, in milliseconds")
      ->capture_default_str()
      ->type_name("auto|MS");
  app.add_option("--for", typed.duration, "how long: 500ms, 90s, 1h30m")->type_name("TIME");
  app.add_flag("--trim", typed.trim, "at the end, cut what is unused from the file");
  app.add_flag("--json", typed.json, "the summary as JSON (fieldline.magnet-read/1)");
  app.add_option("--devices", typed.devices, "folder of magnet0, magnet1 ...")
      ->capture_default_str()
      ->type_name("DIR");
}

Result<ReadOptions> check(const Typed& typed) {
  ReadOptions options;
  if (typed.delay != "auto") {
    double ms = 0;
    const char* end = typed.delay.data() + typed.delay.size();
    auto [at, error] = std::from_chars(typed.delay.data(), end, ms);
    if (error != std::errc() || at != end || !(ms >= 0) || ms > 60'000)
      return fail(Code::invalid, "--delay " + typed.delay + ": auto, or 0 to 60000 milliseconds");
    options.pacer = Pacer::fixed(static_cast<std::uint64_t>(ms * 1e6));
  }
  if (!typed.duration.empty()) {
    options.for_ns = parse_duration_ns(typed.duration);
    if (options.for_ns == 0)
      return fail(Code::invalid, "--for " + typed.duration + ": write 500ms, 90s or 1h30m");
  }
  return options;
}

// SIGINT and SIGTERM as a descriptor; SIGPIPE as an error of write().
Fd catch_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, signal);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

double used_part(const magnet::TraceWriter& writer) {
  return static_cast<double>(writer.used()) / static_cast<double>(writer.size());
}

Result<void> begin_trace(magnet::TraceWriter& writer, const magnet::RingSet& rings) {
  auto session = magnet::this_host();
  if (!session) return session.error();
  session->record_size = static_cast<std::uint16_t>(rings.record_size());
  session->cycles_khz = rings.cycles_khz();
  session->layers = rings.layers();
  session->rings = static_cast<std::uint32_t>(rings.rings().size());
  session->started_ns = SystemClock().utc_ns();
  return writer.begin(*session);
}

int finish(const Typed& typed, ReadLoop& loop, Result<ReadCounts> ended,
           magnet::TraceWriter& writer, std::size_t record_size, bool terminal) {
  const double used = used_part(writer);
  auto synced = writer.finish(typed.trim);
  if (terminal) std::fputs("\r\033[K", stderr);
  const ReadCounts& counts = ended ? *ended : loop.counts();
  say(kTool, ended
                 ? summary_line(counts, typed.file, used)
                 : ended.error().text() + "; before that, " + grouped(counts.records) + " records");
  int told = kOk;
  if (typed.json) told = print_result(kTool, summary_json(counts, typed.file, writer, record_size));
  if (!ended) return kFailure;
  if (!synced) return fail_tool(kTool, synced.error());
  if (told != kOk) return told;
  return counts.end == ReadEnd::device_gone ? kPartial : kOk;
}

int run(int argc, char** argv) {
  CLI::App app("magnet-read: write the event records of this host into a trace file", kTool);
  Typed typed;
  declare(app, typed);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return end_usage(kTool, app, error);
  }
  auto options = check(typed);
  if (!options) {
    say(kTool, options.error().text());
    return kUsage;
  }
  const Fd stop = catch_signals();
  auto writer = magnet::TraceWriter::open(typed.file);
  if (!writer) return fail_tool(kTool, writer.error());
  magnet::SystemDevices devices(typed.devices);
  auto rings = magnet::RingSet::open(devices);
  if (!rings) return fail_tool(kTool, rings.error());
  if (auto begun = begin_trace(*writer, *rings); !begun) return fail_tool(kTool, begun.error());
  if (writer->discarded() != 0)
    say(kTool, typed.file + ": cut a torn end of " + grouped(writer->discarded()) + " bytes");
  if (const auto state = magnet::read_module_state(); state && state->unstable) {
    say(kTool,
        "the kernel holds this machine's cycle counters for unstable: the order of one CPU's "
        "events is right, times of two do not compare, and UTC may be wrong");
  }
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  options->stop_descriptor = stop.get();
  if (terminal) {
    options->on_progress = [&](const ReadCounts& counts) {
      std::fprintf(stderr, "\r%s\033[K", progress_line(counts, used_part(*writer)).c_str());
    };
  }
  ReadLoop loop(*rings, *writer, *options);
  auto ended = loop.run();
  return finish(typed, loop, std::move(ended), *writer, rings->record_size(), terminal);
}

}  // namespace
}  // namespace fieldline::cli

int main(int argc, char** argv) {
  try {
    return fieldline::cli::run(argc, argv);
  } catch (const std::exception& error) {
    fieldline::cli::say("magnet-read", std::string("a bug: ") + error.what());
    return fieldline::cli::kFailure;
  }
}
