// SPDX-License-Identifier: Apache-2.0
#include "cli/settings.h"

#include <charconv>

#include "base/file.h"
#include "base/settings.h"

namespace fieldline::cli {

namespace {

constexpr const char* kHowToGetKey = "`fieldlined --fingerprint` on the archive's host prints it";

Result<std::uint16_t> parse_port(std::string_view digits) {
  unsigned port = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc{} || end != digits.data() + digits.size() || port == 0 || port > 65535) {
    return fail(Code::invalid, "'" + std::string(digits) + "' is not a port from 1 to 65535");
  }
  return static_cast<std::uint16_t>(port);
}

std::string home_of(const Environment& environment) {
  const char* home = environment("HOME");
  return home != nullptr && *home != '\0' ? home : "/";
}

std::string default_file(const Environment& environment) {
  const char* base = environment("XDG_CONFIG_HOME");
  std::string root = base != nullptr && *base != '\0' ? base : home_of(environment) + "/.config";
  return root + "/fieldline/config.toml";
}

// A place named by hand must exist; the usual one need not.
Result<UserSettings> read_settings(const Flags& flags, const Environment& environment) {
  const char* from_environment = environment("FIELDLINE_CONFIG");
  std::string path = flags.config;
  if (path.empty() && from_environment != nullptr) path = from_environment;
  bool named = !path.empty();
  path = named ? expand_home(path, environment) : default_file(environment);

  auto content = read_file(path);
  if (!content) {
    if (!named && content.error().code == Code::not_found) return UserSettings{};
    return fail(content.error().code, "settings: " + content.error().context +
                                          (named ? "; create it or leave out --config" : ""));
  }
  auto settings = parse_settings(*content, path);
  if (settings) settings->file = path;
  return settings;
}

Result<void> choose_archive(UserSettings& settings, const std::vector<std::string>& named,
                            const char* source) {
  if (named.size() != 1) {
    return fail(Code::unsupported, std::string(source) + " names " + std::to_string(named.size()) +
                                       " archives; this version asks one at a time");
  }
  auto chosen = ArchiveAddress::parse(named.front());
  if (!chosen) return fail(Code::invalid, std::string(source) + ": " + chosen.error().context);
  bool same = settings.archive && settings.archive->host == chosen->host &&
              settings.archive->port == chosen->port;
  if (!chosen->key && same) chosen->key = settings.archive->key;
  settings.archive = *chosen;
  return {};
}

std::vector<std::string> split(std::string_view text, char by) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    auto end = std::min(text.find(by, at), text.size());
    if (end > at) parts.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

}  // namespace

std::string ArchiveAddress::to_string() const {
  bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<ArchiveAddress> ArchiveAddress::parse(std::string_view text) {
  ArchiveAddress address;
  auto hash = text.find('#');
  std::string_view where = text.substr(0, hash), port;
  if (hash != std::string_view::npos) {
    auto key = stream::parse_fingerprint(text.substr(hash + 1));
    if (!key) return fail(Code::invalid, "the archive's key: " + key.error().context);
    address.key = *key;
  }
  if (where.starts_with('[')) {
    auto close = where.find(']');
    if (close == std::string_view::npos) {
      return fail(Code::invalid, "'" + std::string(where) + "': no ']' behind the IPv6 address");
    }
    address.host = where.substr(1, close - 1);
    port = where.substr(close + 1);
  } else if (std::count(where.begin(), where.end(), ':') > 1) {
    address.host = where;  // a bare IPv6 address
  } else {
    address.host = where.substr(0, where.find(':'));
    port = where.substr(address.host.size());
  }
  if (address.host.empty() || address.host.find_first_of("/@ \t") != std::string::npos) {
    return fail(Code::invalid, "'" + std::string(where) + "' is not HOST:PORT");
  }
  if (port.empty()) return address;
  if (port.front() != ':') {
    return fail(Code::invalid, "'" + std::string(where) + "' is not [IPV6]:PORT");
  }
  auto number = parse_port(port.substr(1));
  if (!number) return number.error();
  address.port = *number;
  return address;
}

std::string expand_home(std::string_view path, const Environment& environment) {
  if (path == "~") return home_of(environment);
  if (path.starts_with("~/")) return home_of(environment) + std::string(path.substr(1));
  return std::string(path);
}

Result<UserSettings> parse_settings(std::string_view toml, const std::string& name) {
  auto file = fieldline::Settings::parse(toml, name);
  if (!file) return file.error();
  UserSettings settings;
  settings.identity = file->string("identity");
  if (auto table = file->table("archive")) {
    if (table->has("address")) {
      auto address = ArchiveAddress::parse(table->string("address"));
      if (!address) {
        table->complain("address", "'address': " + address.error().context);
      } else {
        settings.archive = *address;
      }
    } else {
      file->complain("archive", "[archive] needs address = \"HOST:PORT\"");
    }
    std::string key = table->string("key");
    if (!key.empty()) {
      auto parsed = stream::parse_fingerprint(key);
      if (!parsed) {
        table->complain("key", "'key': " + parsed.error().context + "; " + kHowToGetKey);
      } else if (settings.archive) {
        settings.archive->key = *parsed;
      }
    }
  }
  auto finished = file->finish();
  if (!finished) {
    return fail(Code::invalid, finished.error().context +
                                   "\nknown keys: identity, [archive] address, key (docs/cli.md)");
  }
  return settings;
}

Result<UserSettings> load_settings(const Flags& flags, const Environment& environment) {
  auto settings = read_settings(flags, environment);
  if (!settings) return settings.error();

  const char* archive = environment("FIELDLINE_ARCHIVE");
  if (!flags.archives.empty()) {
    std::vector<std::string> named;
    for (const auto& flag : flags.archives) {
      for (auto& one : split(flag, ',')) named.push_back(std::move(one));
    }
    auto chosen = choose_archive(*settings, named, "--archive");
    if (!chosen) return chosen.error();
  } else if (archive != nullptr && *archive != '\0') {
    auto chosen = choose_archive(*settings, split(archive, ','), "FIELDLINE_ARCHIVE");
    if (!chosen) return chosen.error();
  }
  if (settings->archive && !settings->archive->key) {
    return fail(Code::invalid, "the key of archive " + settings->archive->to_string() +
                                   " is not known; append #SHA256:... to its address, or set key "
                                   "under [archive]: " +
                                   kHowToGetKey);
  }

  const char* identity = environment("FIELDLINE_IDENTITY");
  if (!flags.identity.empty()) {
    settings->identity = flags.identity;
  } else if (identity != nullptr && *identity != '\0') {
    settings->identity = identity;
  }
  if (settings->identity.empty()) settings->identity = "~/.ssh/id_ed25519";
  settings->identity = expand_home(settings->identity, environment);
  return settings;
}

}  // namespace fieldline::cli
