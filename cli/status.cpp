// SPDX-License-Identifier: Apache-2.0
#include "cli/status.h"

#include <unistd.h>

#include "base/clock.h"
#include "cli/archive_link.h"
#include "cli/exit_code.h"
#include "cli/fields.h"
#include "cli/text.h"

namespace fieldline::cli {

using nlohmann::json;

namespace {

// Counters by name, the zeros only if asked for; a line each, two spaces in.
std::string counters(const json& object, bool all, const std::string& head) {
  std::string text;
  if (!object.is_object()) return text;
  for (const auto& [name, value] : object.items()) {
    if (!value.is_number_integer()) continue;
    std::uint64_t count = number_at(object, name.c_str());
    if (count == 0 && !all) continue;
    text += "  " + head + printable(name) + " " + grouped(count) + "\n";
  }
  return text;
}

// "(nic ice, tcx)", "(veth, absent: there is no interface tap0)"; nothing of older daemons.
std::string state_of(const json& port) {
  const std::string kind = printable(string_at(port, "kind")),
                    driver = printable(string_at(port, "driver")),
                    attachment = printable(string_at(port, "attachment")),
                    remark = printable(string_at(port, "remark"));
  if (kind.empty()) return {};
  std::string text = " (" + kind + (driver.empty() || driver == kind ? "" : " " + driver) + ", " +
                     (attachment.empty() ? "absent" : attachment);
  if (!remark.empty()) text += ": " + remark;
  return text + ")";
}

// What the NIC dropped in front of the port, by each who counted some.
std::string nic_text(const json& nic, bool all) {
  std::string text;
  for (const char* who : {"kernel", "driver"}) {
    const json& counters = member(nic, who);
    if (!counters.is_object()) continue;
    for (const auto& [name, value] : counters.items()) {
      const std::uint64_t count = number_at(counters, name.c_str());
      if (count != 0 || all) text += ", NIC " + printable(name) + " " + grouped(count);
    }
  }
  return text;
}

std::string port_line(const json& port, bool all) {
  const json& counts = member(port, "counters");
  std::string text = "  port " + std::to_string(number_at(port, "port")) + " " +
                     printable(string_at(port, "interface")) + state_of(port) + ": ";
  // A host's interface is looked at for triggers alone.
  text += member(counts, "packets").is_null() ? "watched for triggers"
                                              : grouped(number_at(counts, "packets")) + " packets";
  if (!counts.is_object()) return text + "\n";
  for (const auto& [name, value] : counts.items()) {
    std::uint64_t count = number_at(counts, name.c_str());
    if (name == "packets" || !value.is_number_integer() || (count == 0 && !all)) continue;
    text += ", " + printable(name) + " " + grouped(count);
  }
  return text + nic_text(member(port, "nic"), all) + "\n";
}

std::string stream_line(const json& stream, bool all) {
  if (!stream.is_object()) return "  stream: no word\n";
  std::string text = "  stream: " + printable(string_at(stream, "state"));
  for (const auto& [name, value] : stream.items()) {
    std::uint64_t count = number_at(stream, name.c_str());
    if (value.is_number_integer() && (count != 0 || all))
      text += ", " + printable(name) + " " + grouped(count);
  }
  if (auto error = string_at(stream, "last_error"); !error.empty()) text += "; " + printable(error);
  return text + "\n";
}

// A line's worth of a reason: eBPF's may be the verifier's last words, of many lines.
std::string in_short(const std::string& reason) {
  constexpr std::size_t kMost = 120;
  const std::string line = printable(reason.substr(0, reason.find('\n')));
  if (line.size() == reason.size() && line.size() <= kMost) return line;
  return line.substr(0, kMost) + "...; all of it: --json";
}

// A host's events: where from and why, what cannot be had, what was lost.
std::string events_text(const json& events, bool all) {
  if (!events.is_object()) return {};
  std::string absent;
  for (const auto& name : member(events, "absent")) {
    if (name.is_string())
      absent += (absent.empty() ? "" : ", ") + printable(name.get<std::string>());
  }
  const std::string state = printable(string_at(events, "state"));
  std::string text = "  events: " + printable(string_at(events, "source")) +
                     (state.empty() ? "" : ", " + state) + " (" +
                     in_short(string_at(events, "why")) + ")";
  for (const char* name : {"recorded", "lost", "missed", "dropped_spool", "of_runs", "others",
                           "unjoined", "skipped", "sockets_refused"}) {
    std::uint64_t count = number_at(events, name);
    if (count != 0 || all) text += std::string(", ") + name + " " + grouped(count);
  }
  if (auto by = string_at(events, "triggers_by"); !by.empty())
    text += "; triggers by " + printable(by);
  return text + "\n" + (absent.empty() ? "" : "  events that are absent: " + absent + "\n");
}

std::string sensor_text(const json& sensor, bool all) {
  std::uint64_t at = number_at(sensor, "at_ns");
  std::string text = printable(string_at(sensor, "sensor")) + ": " +
                     std::to_string(number_at(sensor, "runs")) + " runs, " +
                     grouped(number_at(sensor, "flows")) + " flows, " +
                     grouped(number_at(sensor, "accepted")) + " triggers accepted" +
                     (at != 0 ? ", at " + format_utc(at).substr(0, 19) + "Z" : "") + "\n";
  text += events_text(member(sensor, "events"), all);
  for (const auto& port : member(sensor, "ports")) text += port_line(port, all);
  text += counters(member(sensor, "refused"), all, "refused ");
  return text + stream_line(member(sensor, "stream"), all);
}

// The disk, and what stands in the way of retention.
std::string house_text(const json& archive) {
  const json& disk = member(archive, "disk");
  if (!disk.is_object()) return {};
  const std::string why = string_at(disk, "why");
  std::string text = "  disk " + printable(string_at(disk, "state")) + ": " +
                     grouped(number_at(disk, "free_bytes") >> 20) + " of " +
                     grouped(number_at(disk, "total_bytes") >> 20) + " MiB free" +
                     (why.empty() ? "" : "; " + printable(why)) + "\n";
  const std::string remark = string_at(member(archive, "retention"), "remark");
  return text + (remark.empty() ? "" : "  retention: " + printable(remark) + "\n");
}

}  // namespace

std::string render_status(const json& answer, bool all) {
  const json& archive = member(answer, "archive");
  std::string text = "archive\n" + counters(archive, all, "") +
                     counters(member(archive, "applications"), all, "applications ") +
                     house_text(archive);
  const json& sensors = member(answer, "sensors");
  if (!sensors.is_array() || sensors.empty()) {
    return text + "no sensor is connected; one dials its archive at its start, see its log\n";
  }
  for (const auto& sensor : sensors) text += sensor_text(sensor, all);
  return text;
}

int status(const StatusOptions& options, const UserSettings& settings) {
  auto answer = ask_archive(settings, {{"op", "status"}});
  if (!answer) return complain(answer.error());
  if (options.json) (*answer)["schema"] = "fieldline.archive_status/1";
  std::string text =
      options.json ? json_text(*answer, 2) + "\n" : render_status(*answer, options.all);
  auto written = write_all(STDOUT_FILENO, text);
  return written || written.error().code == Code::closed ? kOk : complain(written.error());
}

}  // namespace fieldline::cli
