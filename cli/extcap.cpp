// SPDX-License-Identifier: Apache-2.0
#include "cli/extcap.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <vector>

#include "base/clock.h"
#include "cli/archive_link.h"
#include "cli/exit_code.h"
#include "cli/fields.h"
#include "cli/text.h"
#include "cli/watch.h"

namespace fieldline::cli {

using nlohmann::json;

namespace {

constexpr unsigned kRunsShown = 30;
constexpr const char* kPrefix = "fieldline-";
constexpr std::size_t kDigits = 8, kAllDigits = 32;
constexpr const char* kVersion = "extcap {version=" FIELDLINE_VERSION
                                 "}{display=Fieldline runs}"
                                 "{help=file:///usr/share/doc/fieldline/wireshark.md}\n";
constexpr const char* kConfig =
    "arg {number=0}{call=--vantage}{display=Vantage point}{type=string}"
    "{tooltip=Only what this sensor saw: s1, or s1:eth0}\n"
    "arg {number=1}{call=--wait}{display=Wait for late sensors}{type=string}{default=500ms}"
    "{tooltip=How long a packet is held until others can stand in front of it: 0 to 60s}\n";

// What stands between braces must hold none; a name of others neither breaks a line.
std::string sentence(const std::string& text) {
  std::string out = printable(text);
  std::replace(out.begin(), out.end(), '{', '(');
  std::replace(out.begin(), out.end(), '}', ')');
  return out;
}

// As many of a run's digits as tell it from the others.
std::size_t digits_of(const std::string& run, const std::vector<std::string>& all) {
  auto is_told = [&](std::size_t digits) {
    return std::none_of(all.begin(), all.end(), [&](const std::string& other) {
      return other != run && other.compare(0, digits, run, 0, digits) == 0;
    });
  };
  std::size_t digits = kDigits;
  while (digits < kAllDigits && !is_told(digits)) ++digits;
  return digits;
}

// Wireshark asks at each of its starts, and nobody has said yet that he wants our runs: a
// passphrase must not be asked for. A key in an agent, or without a passphrase, signs silently.
void never_ask() {
  ::setsid();  // no terminal; fails for a group's leader, who was typed
  ::setenv("SSH_ASKPASS_REQUIRE", "never", 1);
}

int list(const Result<UserSettings>& settings) {
  never_ask();
  auto write = [](const std::string& text) {
    auto written = write_all(STDOUT_FILENO, text);
    return written || written.error().code == Code::closed ? kOk : complain(written.error());
  };
  // Without runs there are no interfaces, and that is all: other captures must go on.
  if (int code = write(kVersion); code != kOk) return code;
  if (!settings || !settings->archive) return kOk;
  auto answer = ask_archive(*settings, {{"op", "runs"}, {"limit", kRunsShown}});
  if (!answer) {
    complain(answer.error());
    return kOk;
  }
  return write(extcap_interfaces(*answer));
}

int capture(const ExtcapOptions& options, const UserSettings& settings) {
  WatchOptions watched;
  if (!options.interface.starts_with(kPrefix) || options.fifo.empty()) {
    return complain(
        fail(Code::invalid, "--capture needs --extcap-interface fieldline-RUN and --fifo FILE"),
        kUsage);
  }
  watched.run = options.interface.substr(std::string(kPrefix).size());
  if (!options.filter.empty()) {
    auto flow = FlowSpec::parse(options.filter);
    if (!flow) return complain(std::move(flow.error()).in("capture filter"), kUsage);
    watched.flow = *flow;
  }
  auto wait = parse_wait(options.wait);
  if (!wait) return complain(wait.error(), kUsage);
  watched.wait_ns = *wait;
  watched.vantage = options.vantage;
  watched.output = options.fifo;
  return watch(watched, settings);
}

}  // namespace

std::string extcap_interfaces(const json& answer) {
  std::vector<json> runs;
  std::vector<std::string> ids;
  for (const auto& run : member(answer, "runs")) {
    if (!RunId::parse(string_at(run, "run"))) continue;
    runs.push_back(run);
    ids.push_back(string_at(run, "run"));
  }
  std::stable_partition(runs.begin(), runs.end(),
                        [](const json& run) { return number_at(run, "ended_ns") == 0; });
  std::string text;
  for (const json& run : runs) {
    const std::string id = string_at(run, "run");
    const std::uint64_t started = number_at(run, "started_ns");
    const bool on = number_at(run, "ended_ns") == 0;
    text += "interface {value=" + (kPrefix + id.substr(0, digits_of(id, ids))) +
            "}{display=Fieldline run, " + (on ? "on: " : "over: ") +
            sentence(grant_text(member(run, "grant"))) + ", by " +
            sentence(string_at(run, "principal")) +
            (started == 0 ? "" : ", " + format_utc(started).substr(0, 19) + "Z") + "}\n";
  }
  return text;
}

std::string extcap_filter_fault(const std::string& filter) {
  auto flow = FlowSpec::parse(filter);
  return filter.empty() || flow ? "" : printable_lines(flow.error().text());
}

int extcap(const ExtcapOptions& options, const Result<UserSettings>& settings) {
  if (options.interfaces) return list(settings);
  std::string text;
  if (options.dlts) {
    text = "dlt {number=1}{name=EN10MB}{display=Ethernet}\n";
  } else if (options.config) {
    text = kConfig;
  } else if (options.capture) {
    if (!settings) return complain(settings.error(), kUsage);
    return capture(options, *settings);
  } else if (!options.filter.empty()) {  // valid: nothing is printed
    text = extcap_filter_fault(options.filter);
  } else {
    return complain(fail(Code::invalid,
                         "this is for Wireshark: link it as fieldline-extcap into its extcap "
                         "folder (docs/wireshark.md); by hand: fieldline watch RUN"),
                    kUsage);
  }
  auto written = write_all(STDOUT_FILENO, text);
  return written || written.error().code == Code::closed ? kOk : complain(written.error());
}

}  // namespace fieldline::cli
