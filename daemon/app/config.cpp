// SPDX-License-Identifier: Apache-2.0
#include "app/config.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>

#include "base/file.h"
#include "base/settings.h"

namespace fieldline::app {

namespace {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr double kKeepFreeShare = 0.05;
constexpr std::ptrdiff_t kMirrorsMost = 3;  // each is another copy of every record

stream::Fingerprint read_key(Settings& at, std::string_view key) {
  auto parsed = stream::parse_fingerprint(at.required_string(key));
  if (!parsed && at.has(key)) {
    at.complain(
        key, parsed.error().text() + "; `fieldlined --fingerprint` on the other machine prints it");
  }
  return parsed ? *parsed : stream::Fingerprint{};
}

// "host:port", "[v6]:port" or "host".
void read_endpoint(Settings& at, std::string_view key, ArchivePin& pin) {
  std::string text = at.required_string(key);
  auto colon = text.rfind(':');
  bool bracketed = !text.empty() && text.front() == '[';
  bool has_port =
      colon != std::string::npos && (bracketed ? text[colon - 1] == ']' : text.find(':') == colon);
  pin.host = has_port ? text.substr(0, colon) : text;
  if (bracketed && pin.host.back() == ']') pin.host = pin.host.substr(1, pin.host.size() - 2);
  if (!has_port) return;
  auto [end, error] = std::from_chars(text.data() + colon + 1, text.data() + text.size(), pin.port);
  if (error != std::errc{} || end != text.data() + text.size() || pin.port == 0) {
    at.complain(key, "'" + text + "' is not host:port");
  }
}

// `role`: its table's name, for messages.
void read_role(Settings& at, const std::string& role, RoleConfig& config) {
  config.name = at.required_string("name");
  config.domain = at.string("domain");
  config.identity = at.string("identity", "/var/lib/fieldline/" + role + ".pem");
  config.allowed_signers = at.required_string("allowed_signers");
  config.interfaces = at.strings("interfaces");
  config.spool_bytes = at.integer("spool_mib", 64, 1, 1 << 20) * kMiB;
  config.spool_disk_bytes = at.integer("spool_disk_mib", 0, 0, 1 << 30) * kMiB;
  config.spool_directory = at.string("spool_directory", "/var/lib/fieldline/spool-" + role);
  for (Settings& entry : at.tables("archive")) {
    ArchivePin pin;
    read_endpoint(entry, "address", pin);
    pin.key = read_key(entry, "key");
    // Each entry with `also` is another copy of every record.
    auto same_key = [&](const ArchivePin& other) { return other.key == pin.key; };
    if (pin.key != stream::Fingerprint{} &&
        std::any_of(config.archives.begin(), config.archives.end(), same_key)) {
      entry.complain("key", "an archive above has this key already; one entry is for one archive");
    }
    pin.also = entry.boolean("also", false);
    if (pin.also && config.archives.empty())
      entry.complain("also", "the first archive is the role's own; 'also' is for those behind it");
    config.archives.push_back(pin);
  }
  const auto mirrors = std::count_if(config.archives.begin(), config.archives.end(),
                                     [](const ArchivePin& pin) { return pin.also; });
  if (mirrors > kMirrorsMost) {
    at.complain("archive",
                "at most " + std::to_string(kMirrorsMost) + " archives get every run ('also')");
  }
  if (config.archives.empty())
    at.complain("archive", "a " + role + " needs at least one [[" + role + ".archive]]");
  config.policy = sense::read_policy(at);
  for (const auto& rule : config.policy.allow) {
    for (const auto& wanted : rule.archives) {
      auto pins = [&](const ArchivePin& pin) { return pin.key == wanted; };
      if (wanted != sense::Fingerprint{} &&
          std::none_of(config.archives.begin(), config.archives.end(), pins)) {
        at.complain("allow", "rule '" + rule.name + "' lets grants select " +
                                 stream::to_string(wanted) + ", which no [[" + role +
                                 ".archive]] pins");
      }
    }
  }
}

std::uint32_t read_ring(Settings& at, std::string_view key, std::uint64_t fallback) {
  return static_cast<std::uint32_t>(std::bit_ceil(at.integer(key, fallback, 1, 1024) * kMiB));
}

void check_interfaces(Settings& at, std::size_t count, const std::string& what) {
  if (count > 0 && count <= FL_PORTS_MAX) return;
  at.complain("interfaces", "'interfaces' names 1 to " + std::to_string(FL_PORTS_MAX) + " " + what);
}

SensorConfig read_sensor(Settings at) {
  SensorConfig sensor;
  read_role(at, "sensor", sensor);
  sensor.in_path = at.strings("in_path");
  check_interfaces(at, sensor.interfaces.size() + 2 * sensor.in_path.size(),
                   "tap ports, less two for each interface in 'in_path'");
  sensor.port_totals = at.boolean("port_totals", true);
  const std::string timestamps = at.string("timestamps", "packet");
  if (timestamps != "packet" && timestamps != "poll")
    at.complain("timestamps", "'timestamps' is \"packet\" or \"poll\"");
  sensor.time_per_poll = timestamps == "poll";
  sensor.header_ring_bytes = read_ring(at, "header_ring_mib", 16);
  sensor.max_flows =
      static_cast<std::uint32_t>(at.integer("max_flows", FL_FLOWS_DEFAULT, 1, 1 << 20));
  return sensor;
}

HostConfig read_host(Settings at) {
  HostConfig host;
  read_role(at, "host", host);
  check_interfaces(at, host.interfaces.size(),
                   "interfaces by which this host's triggers come and go");
  host.source = at.string("source", "auto");
  if (host.source != "auto" && host.source != "module" && host.source != "ebpf") {
    at.complain("source",
                "'" + host.source + "' is none of auto (the module if it is loaded), module, ebpf");
  }
  host.event_ring_bytes = read_ring(at, "event_ring_mib", 4);
  host.max_flows = static_cast<std::uint32_t>(at.integer("max_flows", 4096, 1, 1 << 20));
  return host;
}

// "5%", "20G" or "500M": a share of the file system, or bytes; "0" is no rule.
void read_keep_free(Settings& at, archive::Rules& rules) {
  if (!at.has("keep_free")) {
    rules.keep_free_share = kKeepFreeShare;
    return;
  }
  const std::string text = at.string("keep_free");
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  constexpr std::uint64_t most = 1 << 20;
  if (error == std::errc{} && unit == "%" && number <= 90) {
    rules.keep_free_share = static_cast<double>(number) / 100;
  } else if (error == std::errc{} && number <= most && (unit == "G" || unit == "M")) {
    rules.keep_free_bytes = number * (unit == "G" ? 1024 * kMiB : kMiB);
  } else if (text != "0") {
    at.complain("keep_free", "'" + text +
                                 "': write a share of the disk such as 5% (at most 90%), "
                                 "or room such as 20G or 500M; 0 for none");
  }
}

archive::Rules read_retention(Settings at) {
  archive::Rules rules;
  rules.max_age_ns = at.duration_ns("max_age", 0);
  rules.max_bytes = at.integer("max_size_gib", 0, 0, 1 << 20) * 1024 * kMiB;
  read_keep_free(at, rules);
  return rules;
}

ApplicationLimits read_applications(Settings at) {
  ApplicationLimits limits;
  limits.connections = at.integer("connections", limits.connections, 0, 1 << 16);
  limits.events = at.integer("events", limits.events, 1, 1ull << 40);
  return limits;
}

ArchiveConfig read_archive(Settings at) {
  ArchiveConfig archive;
  archive.address = at.string("address", "::");
  archive.port = static_cast<std::uint16_t>(at.integer("port", FL_STREAM_PORT, 1, 65535));
  archive.directory = at.string("directory", "/var/lib/fieldline/archive");
  archive.identity = at.string("identity", "/var/lib/fieldline/archive.pem");
  archive.readers = at.required_string("readers");
  archive.see_all = at.strings("see_all");
  archive.admins = at.strings("admins");
  archive.chunk_bytes = at.integer("chunk_mib", 64, 1, 1 << 20) * kMiB;
  if (auto retention = at.table("retention")) {
    archive.retention = read_retention(*retention);
  } else {
    archive.retention.keep_free_share = kKeepFreeShare;
  }
  if (auto applications = at.table("applications"))
    archive.applications = read_applications(*applications);
  for (Settings& entry : at.tables("producer")) {
    archive.producers.push_back({entry.required_string("name"), read_key(entry, "key")});
  }
  return archive;
}

}  // namespace

Result<Config> Config::load(const std::string& path) {
  auto text = read_file(path);
  if (!text) return text.error();
  auto root = Settings::parse(*text, path);
  if (!root) return root.error();

  Config config;
  config.log_level = root->string("log_level", "info");
  constexpr std::array levels{"trace", "debug", "info", "warning", "error", "critical", "off"};
  if (std::find(levels.begin(), levels.end(), config.log_level) == levels.end()) {
    root->complain(
        "log_level",
        "'" + config.log_level + "' is none of trace, debug, info, warning, error, critical, off");
  }
  if (auto sensor = root->table("sensor")) config.sensor = read_sensor(*sensor);
  if (auto host = root->table("host")) {
    if (host->boolean("enabled", true)) {
      config.host = read_host(*host);
    } else {
      read_host(*host);  // its problems are told all the same
    }
  }
  if (auto archive = root->table("archive")) config.archive = read_archive(*archive);
  if (!config.sensor && !config.host && !config.archive) {
    root->complain("sensor", "nothing to do: write a [sensor], a [host] or an [archive] table");
  }
  auto checked = root->finish();
  if (!checked) return checked.error();
  return config;
}

}  // namespace fieldline::app
