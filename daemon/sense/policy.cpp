// SPDX-License-Identifier: Apache-2.0
#include "sense/policy.h"

#include <algorithm>

#include "base/clock.h"
#include "sense/trust.h"

namespace fieldline::sense {

namespace {

bool names_one(const Rule& rule, const std::vector<std::string>& principals) {
  if (rule.principals.empty()) return true;
  for (const std::string& pattern : rule.principals) {
    for (const std::string& name : principals) {
      if (matches_pattern(pattern, name)) return true;
    }
  }
  return false;
}

// IPv4 stands as ::ffff:a.b.c.d on both sides, so that a rule for either spelling covers both; a
// host that is wider than the rule's prefix touches it too.
bool touches(const Rule& rule, const Prefix& host) {
  return rule.hosts.empty() ||
         std::any_of(rule.hosts.begin(), rule.hosts.end(), [&](const Prefix& prefix) {
           return prefix.contains(host) || host.contains(prefix);
         });
}

bool encloses(const Rule& rule, const Prefix& host) {
  return rule.hosts.empty() ||
         std::any_of(rule.hosts.begin(), rule.hosts.end(),
                     [&](const Prefix& prefix) { return prefix.contains(host); });
}

bool denies(const Rule& rule, const std::vector<std::string>& principals, const Grant& grant) {
  return names_one(rule, principals) &&
         (touches(rule, grant.host_a) || touches(rule, grant.host_b));
}

bool allows(const Rule& rule, const std::vector<std::string>& principals, const Grant& grant) {
  return names_one(rule, principals) && encloses(rule, grant.host_a) &&
         encloses(rule, grant.host_b);
}

std::string brief_duration(std::uint64_t ns) {
  std::uint64_t seconds = ns / kNanosPerSecond;
  if (seconds == 0) return std::to_string(ns / kNanosPerMilli) + " ms";
  if (seconds % 3600 == 0) return std::to_string(seconds / 3600) + " h";
  if (seconds % 60 == 0) return std::to_string(seconds / 60) + " min";
  return std::to_string(seconds) + " s";
}

std::string brief_snaplen(std::uint16_t snaplen) {
  return snaplen == FL_SNAPLEN_HEADERS ? "headers" : std::to_string(snaplen);
}

Decision within(const Rule& rule, const Grant& grant) {
  Decision decision;
  decision.rule = rule.name;
  decision.archive = grant.archive;
  decision.not_after_ns = grant.not_after_ns;
  decision.snaplen = grant.snaplen;

  const std::uint64_t asked = grant.not_after_ns - grant.issued_at_ns;
  if (asked > rule.max_duration_ns) {
    decision.not_after_ns = grant.issued_at_ns + rule.max_duration_ns;
    decision.clamped.push_back("duration " + brief_duration(asked) + " to " +
                               brief_duration(rule.max_duration_ns));
  }
  const std::uint16_t most = std::min<std::uint16_t>(rule.max_snaplen, FL_SNAPLEN_MAX);
  if (grant.snaplen > most) {
    decision.snaplen = most;
    decision.clamped.push_back("snaplen " + brief_snaplen(grant.snaplen) + " to " +
                               brief_snaplen(most));
  }
  return decision;
}

}  // namespace

bool could_allow(const Policy& policy, const std::vector<std::string>& principals,
                 const Grant& grant) {
  return std::any_of(policy.allow.begin(), policy.allow.end(),
                     [&](const Rule& rule) { return allows(rule, principals, grant); });
}

std::variant<Decision, Refusal> decide(const Policy& policy,
                                       const std::vector<std::string>& principals,
                                       const Grant& grant) {
  const std::string principal = principals.empty() ? "" : principals.front();
  auto refuse = [&](Reason reason, std::string detail, std::string rule) {
    return Refusal{reason,          std::move(detail), principal, to_hex(grant.key_id),
                   grant.run.hex(), std::move(rule)};
  };
  for (const Rule& rule : policy.deny) {
    if (denies(rule, principals, grant))
      return refuse(Reason::denied, "by rule " + rule.name, rule.name);
  }
  auto rule = std::find_if(policy.allow.begin(), policy.allow.end(),
                           [&](const Rule& one) { return allows(one, principals, grant); });
  if (rule == policy.allow.end()) return refuse(Reason::denied, "no rule allows it", "");
  const bool own = grant.archive == Fingerprint{};
  if (!own && std::find(rule->archives.begin(), rule->archives.end(), grant.archive) ==
                  rule->archives.end()) {
    return refuse(Reason::unknown_archive,
                  "archive " + to_hex(grant.archive) + " is not pinned by rule " + rule->name,
                  rule->name);
  }
  return within(*rule, grant);
}

}  // namespace fieldline::sense
