// SPDX-License-Identifier: Apache-2.0
// docs/format/run.md, and the same for people.
#include "cli/run_record.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/flow_spec.h"
#include "cli/text.h"

namespace fieldline::cli {
namespace {

using nlohmann::json;
using State = Cover::State;

// What a socket came to, in the order in which it is told.
constexpr State kMissed[] = {State::ended, State::refused, State::open, State::local};

double seconds(std::uint64_t ns) {
  return static_cast<double>(ns) / 1e9;
}

std::string shown(const std::vector<std::string>& command) {
  std::string text;
  for (const auto& word : command) text += (text.empty() ? "" : " ") + printable(word);
  return clipped(text, 60);
}

// Those that were waiting when the command ended have waited too long.
std::map<State, std::uint64_t> counts_of(const Cover& cover) {
  auto counts = cover.count();
  counts[State::ended] += std::exchange(counts[State::waits], 0);
  return counts;
}

json socket_json(const RunRecord& record, const Cover::Seen& seen) {
  const DiagSocket& socket = seen.socket;
  json one = {{"protocol", socket.protocol},
              {"local", socket.local.to_string()},
              {"local_port", socket.local_port},
              {"remote", socket.remote.to_string()},
              {"remote_port", socket.remote_port},
              {"sockid", socket.cookie},
              {"state", name_of(seen.state)},
              {"run", nullptr},
              {"late_ns", nullptr},
              {"sent_before", nullptr}};
  if (!seen.run) return one;
  one["run"] = record.runs[*seen.run].run.hex();
  one["late_ns"] = seen.late_ns;
  if (seen.unheard) one["sent_before"] = *seen.unheard;
  return one;
}

json run_json(const RecordedRun& run) {
  json one = {{"run", run.run.hex()},
              {"flow", run.plan.to_string()},
              {"notes", run.plan.notes},
              {"first_pulse_ns", run.first_pulse_ns},
              {"ended_ns", run.ended_ns},
              {"pulses", run.pulses},
              {"without_final_counts", run.unfinished},
              {"error", nullptr},
              {"why", nullptr},
              {"path", nullptr}};
  if (!run.error.empty()) one["error"] = run.error;
  if (run.report) {
    one["why"] = analysis::to_json(*run.report);
    one["path"] = analysis::to_json(run.report->path);
  }
  return one;
}

std::string head_line(const RunRecord& record) {
  const auto counts = record.cover.count();
  const auto covered = counts.contains(State::covered) ? counts.at(State::covered) : 0;
  const std::uint64_t all = record.cover.sockets().size() + record.cover.not_kept();
  const std::string end = record.signal ? fmt::format("killed by signal {}", *record.signal)
                                        : fmt::format("exit {}", record.exit);
  return fmt::format("{}  {:.1f} s, {}; {} of {} sockets {}, in {} run{}\n", shown(record.command),
                     seconds(record.ended_ns - record.started_ns), end, grouped(covered),
                     grouped(all), record.terms.count ? "counted" : "recorded", record.runs.size(),
                     record.runs.size() == 1 ? "" : "s");
}

// How late its sockets were switched on, and what they had sent by then.
std::string lateness(const Cover& cover, std::size_t run) {
  std::uint64_t sockets = 0, at_once = 0, least = UINT64_MAX, most = 0, sent = 0;
  for (const auto& seen : cover.sockets()) {
    if (seen.run != run) continue;
    ++sockets;
    if (seen.late_ns == 0) {
      ++at_once;
      continue;
    }
    least = std::min(least, seen.late_ns);
    most = std::max(most, seen.late_ns);
    sent += seen.unheard.value_or(0);
  }
  std::string text = fmt::format("{} socket{}", grouped(sockets), sockets == 1 ? "" : "s");
  if (at_once > 0) text += fmt::format(", {} from the first packet", grouped(at_once));
  if (most == 0) return text;
  const auto ms = [](std::uint64_t ns) { return (ns + 500'000) / 1'000'000; };
  text += fmt::format(", {} on {}{} ms after the first sight", grouped(sockets - at_once),
                      ms(least) == ms(most) ? "" : fmt::format("{} to ", ms(least)), ms(most));
  return text + fmt::format(" ({} bytes were sent before)", grouped(sent));
}

// A later run that has next to all of what this one has: of each sender.
const RecordedRun* wider_run(const RunRecord& record, std::size_t index) {
  const auto& report = record.runs[index].report;
  const auto has = [](const RecordedRun& later, const analysis::WhyFlow& flow) {
    return std::any_of(later.report->flows.begin(), later.report->flows.end(),
                       [&](const analysis::WhyFlow& other) {
                         return other.host == flow.host && other.cookie == flow.cookie &&
                                other.local_port == flow.local_port &&
                                other.peer_port == flow.peer_port &&
                                other.bytes() >= flow.bytes() - flow.bytes() / 10;
                       });
  };
  for (std::size_t at = index + 1; at < record.runs.size(); ++at) {
    const RecordedRun& later = record.runs[at];
    if (later.report && !report->flows.empty() &&
        std::all_of(report->flows.begin(), report->flows.end(),
                    [&](const analysis::WhyFlow& flow) { return has(later, flow); }))
      return &later;
  }
  return nullptr;
}

std::string run_text(const RunRecord& record, std::size_t index, bool color) {
  const RecordedRun& run = record.runs[index];
  std::string text = fmt::format("\nRUN {}  {}: {}\n", run.run.brief(), run.plan.to_string(),
                                 lateness(record.cover, index));
  for (const auto& line : run.plan.notes) text += "   * " + line + "\n";
  for (const auto& sensor : run.unfinished)
    text += "   * incomplete: no final counts from " + sensor + "\n";
  if (!run.report) return text + "   * " + printable_lines(run.error) + "\n";
  if (const RecordedRun* wider = wider_run(record, index)) {
    return text + fmt::format(
                      "   * run {}, which began {} ms later, has the same streams and more\n",
                      wider->run.brief(), (wider->first_pulse_ns - run.first_pulse_ns) / 1'000'000);
  }
  if (run.report->flows.empty() && !record.terms.count)
    text += "   * no host recorded a sender: what the flow waited for is not known\n";
  return text + analysis::to_table(*run.report, color) +
         analysis::to_table(run.report->path, color);
}

std::string missed_text(const RunRecord& record) {
  std::string text;
  const auto counts = counts_of(record.cover);
  for (const State state : kMissed) {
    const auto found = counts.find(state);
    if (found == counts.end() || found->second == 0) continue;
    text += fmt::format("   * not recorded: {} socket{} {}\n", grouped(found->second),
                        found->second == 1 ? "" : "s", text_of(state));
  }
  if (record.cover.not_kept() > 0)
    text += fmt::format("   * {} sockets beyond the first {} were not followed\n",
                        grouped(record.cover.not_kept()), grouped(Cover::kSocketsMost));
  return text;
}

std::string limits_text(const RunRecord& record) {
  std::string text;
  if (record.terms.count) {
    text +=
        "   * counted alone: no packet and no event was recorded, and what the command waited for "
        "is not known\n";
  } else if (record.terms.sample_n > 1) {
    text += fmt::format(
        "   * one of {} packets is recorded: what was sent again, and when, is not known\n",
        grouped(record.terms.sample_n));
  }
  if (record.looks == 0) {
    text += "   * no look at its sockets: it had ended before\n";
  } else {
    const double apart = static_cast<double>(record.longest_gap_ns) / 1e6;
    text +=
        fmt::format("   * {} look{} at its sockets{}: what was shorter may not have been seen\n",
                    grouped(record.looks), record.looks == 1 ? "" : "s",
                    record.looks == 1 ? "" : fmt::format(", at most {:.0f} ms apart", apart));
  }
  if (!record.by_cgroup)
    text +=
        "   * followed by its processes, not by a cgroup: " + printable(record.no_cgroup) + "\n";
  if (record.closed_to_us > 0)
    text += fmt::format(
        "   * {} of its processes belong to another user: their sockets are not "
        "known; run as root\n",
        grouped(record.closed_to_us));
  if (record.cgroups_within > 0)
    text += fmt::format("   * it made {} cgroups within its own: sockets made there are not seen\n",
                        grouped(record.cgroups_within));
  if (record.left_running) text += "   * it left processes behind, which go on unrecorded\n";
  return text;
}

}  // namespace

json to_json(const RunRecord& record) {
  json sockets = json::array(), runs = json::array(), not_recorded = json::object();
  for (const auto& seen : record.cover.sockets()) sockets.push_back(socket_json(record, seen));
  for (const auto& run : record.runs) runs.push_back(run_json(run));
  const auto counts = counts_of(record.cover);
  for (const State state : kMissed) {
    const auto found = counts.find(state);
    if (found != counts.end() && found->second > 0) not_recorded[name_of(state)] = found->second;
  }
  if (record.cover.not_kept() > 0) not_recorded["beyond_limit"] = record.cover.not_kept();
  return {{"schema", "fieldline.run/1"},
          {"command", record.command},
          {"started_ns", record.started_ns},
          {"ended_ns", record.ended_ns},
          {"exit", record.exit},
          {"signal", record.signal ? json(*record.signal) : json()},
          {"followed_by", record.by_cgroup ? "cgroup" : "processes"},
          {"no_cgroup", record.by_cgroup ? json() : json(record.no_cgroup)},
          {"looks", record.looks},
          {"longest_gap_ns", record.longest_gap_ns},
          {"processes_closed", record.closed_to_us},
          {"cgroups_within", record.cgroups_within},
          {"left_running", record.left_running},
          {"verb", record.terms.count ? "count" : "capture"},
          {"sample_n", record.terms.sample_n},
          {"spray", record.terms.spray > 1 ? to_json(record.spray) : json()},
          {"sockets", std::move(sockets)},
          {"not_recorded", std::move(not_recorded)},
          {"runs", std::move(runs)},
          {"remarks", record.remarks}};
}

std::string to_text(const RunRecord& record, bool color) {
  std::string text = color ? "\033[1m" + head_line(record) + "\033[0m" : head_line(record);
  for (const auto& line : record.remarks) text += "   * " + printable_lines(line) + "\n";
  text += missed_text(record) + limits_text(record);
  if (record.terms.spray > 1) text += "\n" + render_spray(record.spray);
  for (std::size_t index = 0; index < record.runs.size(); ++index)
    text += run_text(record, index, color);
  const bool whole = !record.terms.count && record.terms.sample_n == 1;
  for (const auto& run : record.runs)
    text += fmt::format("NEXT     fieldline {} {}\n", whole ? "retrans" : "path", run.run.brief());
  return text;
}

}  // namespace fieldline::cli
