// SPDX-License-Identifier: Apache-2.0
// The policy as it stands in a sensor's TOML: [[sensor.deny]] and [[sensor.allow]].
#include "sense/policy.h"

#include <bit>

#include "base/bytes.h"
#include "proto/digest.h"
#include "proto/flow.h"

namespace fieldline::sense {

namespace {

Fingerprint read_archive(Settings& at, const std::string& text) {
  constexpr std::string_view prefix = "SHA256:";
  Fingerprint key{};
  if (text == "own") return key;
  if (text.starts_with(prefix) && from_hex(std::string_view(text).substr(prefix.size()), key))
    return key;
  at.complain(
      "archives",
      "'" + text + "' is none of \"own\", \"requester\", SHA256: and 64 hexadecimal digits");
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

AnyPort read_any_port(Settings& at) {
  const std::string text = at.string("any_port", "both");
  if (text == "none") return AnyPort::none;
  if (text == "one") return AnyPort::one;
  if (text != "both") at.complain("any_port", "'" + text + "' is not none, one or both");
  return AnyPort::both;
}

std::uint32_t read_min_sample(Settings& at) {
  const std::uint64_t most = std::uint64_t{1} << FL_SAMPLE_BITS_MAX;
  const std::uint64_t n = at.integer("min_sample", 1, 1, most);
  if (!std::has_single_bit(n)) at.complain("min_sample", "is no power of two: 1, 2, 4, 8 ...");
  return static_cast<std::uint32_t>(n);
}

void read_verbs(Settings& at, Rule& rule) {
  if (!at.has("verbs")) return;
  rule.capture = rule.count = false;
  for (const std::string& text : at.strings("verbs")) {
    if (text == "capture") {
      rule.capture = true;
    } else if (text == "count") {
      rule.count = true;
    } else {
      at.complain("verbs", "'" + text + "' is neither capture nor count");
    }
  }
}

Rule read_allow(Settings& at, const std::string& default_name) {
  Rule rule = read_rule(at, default_name);
  rule.max_duration_ns = at.duration_ns("max_duration", rule.max_duration_ns);
  rule.max_snaplen = static_cast<std::uint16_t>(at.integer("max_snaplen", 0, 0, FL_SNAPLEN_MAX));
  rule.min_prefix_v4 =
      static_cast<std::uint8_t>(at.integer("min_prefix_v4", rule.min_prefix_v4, 0, 32));
  rule.min_prefix_v6 =
      static_cast<std::uint8_t>(at.integer("min_prefix_v6", rule.min_prefix_v6, 0, 128));
  rule.any_port = read_any_port(at);
  rule.min_sample = read_min_sample(at);
  read_verbs(at, rule);
  rule.inner = at.boolean("inner", false);
  for (const std::string& text : at.strings("archives")) {
    if (text == "requester") {
      rule.requester_archives = true;
    } else {
      rule.archives.push_back(read_archive(at, text));
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
    policy.allow.push_back(read_allow(at, "allow " + std::to_string(policy.allow.size() + 1)));
  }
  return policy;
}

}  // namespace fieldline::sense
