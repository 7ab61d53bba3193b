// SPDX-License-Identifier: Apache-2.0
#include "cli/application_line.h"

#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "cli/text.h"

namespace fieldline::cli {

using nlohmann::json;

namespace {

std::string quoted(std::string_view value) {
  if (!value.empty() && value.find_first_of(" \"\\=") == std::string_view::npos)
    return std::string(value);
  std::string text = "\"";
  for (char c : value) {
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text + "\"";
}

}  // namespace

// Tabs are control characters, which no value has.
std::string text_of(const ApplicationEvent& event) {
  std::string text;
  const auto out = std::back_inserter(text);
  fmt::format_to(out, "{}\t{}\t0\t{}\t0\tlayer={}\tlevel={}\tprogram={}\tpid={}\ttid={}",
                 event.sockid, format_utc(event.timestamp_ns), event.name, kApplicationLayer,
                 level_name(event.level), event.program, event.pid, event.tid);
  for (const auto& [key, value] : event.pairs) fmt::format_to(out, "\t{}={}", key, value);
  fmt::format_to(out, "\thost={}\n", event.host);
  return text;
}

std::string json_of(const ApplicationEvent& event) {
  json pairs = json::array();
  for (const auto& [key, value] : event.pairs) pairs.push_back({key, value});
  return json_text({{"host", event.host},
                    {"sockid", event.sockid},
                    {"utc_ns", event.timestamp_ns},
                    {"event", event.name},
                    {"layer", kApplicationLayer},
                    {"level", level_name(event.level)},
                    {"program", event.program},
                    {"pid", event.pid},
                    {"tid", event.tid},
                    {"pairs", std::move(pairs)}},
                   -1) +
         "\n";
}

std::string bp_of(const ApplicationEvent& event) {
  std::string text;
  const auto out = std::back_inserter(text);
  fmt::format_to(out, "ts={} event={} level={} host={} prog={} pid={} tid={} sockid={}",
                 format_utc(event.timestamp_ns), event.name, level_name(event.level),
                 quoted(event.host), quoted(event.program), event.pid, event.tid, event.sockid);
  for (const auto& [key, value] : event.pairs) fmt::format_to(out, " {}={}", key, quoted(value));
  return text + "\n";
}

std::string loss_of(const ApplicationEvent& event) {
  if (event.name != FL_APPLICATION_RESERVED "off") return {};
  std::string losses;
  for (const auto& [key, value] : event.pairs) {
    if (key != "written" && value != "0") losses += fmt::format(", {} {}", key, value);
  }
  if (losses.empty()) return {};
  return fmt::format("application {} of host {}, pid {}, lost events: {}", event.program,
                     event.host, event.pid, losses.substr(2));
}

}  // namespace fieldline::cli
