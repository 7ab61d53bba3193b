// SPDX-License-Identifier: Apache-2.0
// The policy as it stands in a sensor's TOML: [[sensor.deny]] and [[sensor.allow]].
#include "sense/policy.h"

#include "base/bytes.h"
#include "proto/flow.h"

namespace fieldline::sense {

namespace {

Fingerprint read_archive(Settings& at, const std::string& text) {
  constexpr std::string_view prefix = "SHA256:";
  Fingerprint key{};
  if (text == "own") return key;
  if (text.starts_with(prefix) && from_hex(std::string_view(text).substr(prefix.size()), key))
    return key;
  at.complain("archives",
              "'" + text + "' is neither \"own\" nor SHA256: and 64 hexadecimal digits");
  return key;
}

Rule read_rule(Settings& at, const std::string& default_name) {
  Rule rule;
  rule.name = at.string("name", default_name);
  rule.principals = at.strings("principals");
  for (const std::string& text : at.strings("hosts")) {
    auto prefix = Prefix::parse(text);
    if (prefix) {
      rule.hosts.push_back(*prefix);
    } else {
      at.complain("hosts", prefix.error().text());
    }
  }
  return rule;
}

}  // namespace

Policy read_policy(Settings& sensor) {
  Policy policy;
  for (Settings& at : sensor.tables("deny")) {
    policy.deny.push_back(read_rule(at, "deny " + std::to_string(policy.deny.size() + 1)));
  }
  for (Settings& at : sensor.tables("allow")) {
    Rule rule = read_rule(at, "allow " + std::to_string(policy.allow.size() + 1));
    rule.max_duration_ns = at.duration_ns("max_duration", rule.max_duration_ns);
    rule.max_snaplen = static_cast<std::uint16_t>(at.integer("max_snaplen", 0, 0, FL_SNAPLEN_MAX));
    for (const std::string& text : at.strings("archives")) {
      rule.archives.push_back(read_archive(at, text));
    }
    policy.allow.push_back(std::move(rule));
  }
  return policy;
}

}  // namespace fieldline::sense
