// SPDX-License-Identifier: Apache-2.0
// Which archive to ask and which key to sign with: from the file, the environment and the flags, in
// rising order of precedence.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "proto/frame.h"
#include "stream/identity.h"

namespace fieldline::cli {

struct ArchiveAddress {
  std::string host;
  std::uint16_t port = FL_STREAM_PORT;
  std::optional<stream::Fingerprint> key;

  std::string to_string() const;  // host:port, without the key
  // "host", "host:port", "[v6]:port", each with "#SHA256:hex64" behind it or not.
  static Result<ArchiveAddress> parse(std::string_view text);
};

struct UserSettings {
  std::optional<ArchiveAddress> archive;
  std::string identity;  // path, `~` expanded
  std::string file;      // that was read; empty: none
};

struct Flags {
  std::string config;
  std::vector<std::string> archives;
  std::string identity;
};

// name -> value, nullptr if unset: getenv outside of tests.
using Environment = std::function<const char*(const char*)>;

// The file alone. name: for messages.
Result<UserSettings> parse_settings(std::string_view toml, const std::string& name);

// Everything. An archive without a key is an error: a key is never taken on trust.
Result<UserSettings> load_settings(const Flags& flags, const Environment& environment);

// "~/x" under HOME.
std::string expand_home(std::string_view path, const Environment& environment);

}  // namespace fieldline::cli
