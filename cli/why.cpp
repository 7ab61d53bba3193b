// SPDX-License-Identifier: Apache-2.0
#include "cli/why.h"

#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "analysis/why.h"
#include "base/clock.h"
#include "cli/exit_code.h"
#include "cli/flow_spec.h"
#include "cli/local_events.h"
#include "cli/signals.h"
#include "cli/text.h"

namespace fieldline::cli {
namespace {

constexpr std::uint64_t kIntervalMin = 1'000'000, kIntervalMax = 3'600'000'000'000;
// What is judged together: in more, a queue that comes and goes would be all of it.
constexpr std::uint64_t kJudgedNs = 100'000'000;
constexpr std::uint64_t kForMax = 86'400'000'000'000;

bool is_file(const std::string& name) {
  return ::access(name.c_str(), F_OK) == 0;
}

struct Local {
  analysis::EventSockets events;
  std::optional<std::uint64_t> unseen;  // see LocalEvents
};

// Sockets of this host, until the time is over or Ctrl-C.
Result<Local> watch_sockets(const WhyOptions& options, std::uint64_t interval_ns) {
  const auto time =
      duration_in("--for", options.duration, kNanosPerMilli, kForMax, "10s, up to 24h");
  if (!time) return time.error();
  std::vector<FlowSpec> flows;
  for (const std::string& text : options.input.what) {
    auto flow = FlowSpec::parse(text);
    if (!flow) return std::move(flow.error()).in("'" + text + "' is no file here, and as a flow");
    if (flow->protocol != IPPROTO_TCP)
      return fail(Code::invalid, "'" + text + "': only TCP tells what it waits for");
    flows.push_back(*flow);
  }
  auto local = LocalEvents::open(std::move(flows), interval_ns);
  if (!local) return local.error();
  if (!local->without_events().empty())
    note(
        "samples of tcp_info alone, which do not tell a slow application from a small send "
        "buffer: " +
        local->without_events());
  auto stop = block_signals();
  if (!stop) return stop.error();
  if (is_terminal(STDERR_FILENO))
    note("watching this host's TCP sockets for " + short_duration(*time) + "; Ctrl-C ends it");
  auto watched = local->watch(SystemClock().monotonic_ns() + *time, stop->get());
  if (!watched) return watched.error();
  return Local{local->finish(), local->unseen()};
}

Result<Local> read_local(const WhyOptions& options, std::uint64_t interval_ns) {
  const auto& what = options.input.what;
  const bool of_files = !what.empty() && std::all_of(what.begin(), what.end(), is_file);
  if (!of_files) return watch_sockets(options, interval_ns);
  auto events = read_traces(what, interval_ns);
  if (!events) return events.error();
  return Local{std::move(*events), {}};
}

Result<analysis::WhyReport> local_report(const WhyOptions& options, std::uint64_t interval_ns) {
  auto local = read_local(options, interval_ns);
  if (!local) return local.error();
  analysis::PathReport path;
  path.events = std::move(local->events);
  path.complete = true;  // of its path nothing is asked
  analysis::WhyReport report = analysis::judge_waiting(std::move(path));
  if (local->unseen.value_or(0) > 0) {
    report.doubts.push_back(grouped(*local->unseen) +
                            " sockets of this host, to whomever, were opened and gone between two "
                            "looks 200 ms apart: nothing is known of them");
  }
  return report;
}

int show(analysis::WhyReport report, std::uint64_t interval_ns, bool json, const char* nobody) {
  analysis::widen(report, interval_ns);
  const std::string text = json ? json_text(analysis::to_json(report), 2) + "\n"
                                : analysis::to_table(report, has_color(STDOUT_FILENO));
  auto written = write_all(STDOUT_FILENO, text);
  if (!written && written.error().code != Code::closed) return complain(written.error());
  if (!report.flows.empty()) return kOk;
  note(nobody);
  return kPartial;
}

}  // namespace

int why(WhyOptions options, const Result<UserSettings>& settings) {
  const auto interval =
      duration_in("--interval", options.interval, kIntervalMin, kIntervalMax, "100ms, 1ms to 1h");
  if (!interval) return complain(interval.error(), kUsage);
  if (options.local) {
    auto report = local_report(options, std::min(*interval, kJudgedNs));
    if (!report)
      return complain(report.error(), report.error().code == Code::invalid ? kUsage : kFailure);
    return show(std::move(*report), *interval, options.json,
                "no TCP socket of these sent anything, or had anything to send, in that time; of a "
                "server's port write tcp:*:PORT-*");
  }
  if (options.input.what.empty())
    return complain(
        fail(Code::invalid, "name a run (last), or say --local for this host's sockets"), kUsage);
  options.input.events = true;
  options.input.limits.interval_ns = std::min(*interval, kJudgedNs);
  options.input.limits.waits = true;
  auto analyzer = analyze(options.input, settings);
  if (!analyzer) return analyzer.error();
  return show(analysis::judge_waiting((*analyzer)->report()), *interval, options.json,
              "nobody sent TCP data");
}

}  // namespace fieldline::cli
