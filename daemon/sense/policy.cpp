// SPDX-License-Identifier: Apache-2.0
#include "sense/policy.h"

#include <netinet/in.h>

#include <algorithm>
#include <bit>
#include <optional>

#include "base/clock.h"
#include "proto/digest.h"
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

std::string brief_sample(std::uint32_t sample_n) {
  return sample_n == 1 ? "every packet" : "1 of " + std::to_string(sample_n) + " packets";
}

// Why the grant is wider than the rule says; neither hosts nor ports can be cut without asking for
// another flow. ::/0 and its like hold all of IPv4 too.
std::optional<std::string> too_wide(const Rule& rule, const Prefix& host) {
  constexpr unsigned kMapped = 96;
  static const Prefix all_v4 = {Address::parse("0.0.0.0").value(), kMapped};
  const bool is_v4 = host.length >= kMapped && host.address.is_v4();
  const bool holds_v4 = is_v4 || host.contains(all_v4);
  const unsigned v4_length = is_v4 ? host.length - kMapped : 0;
  if (holds_v4 && v4_length < rule.min_prefix_v4) {
    return host.to_string() +
           " is wider than its min_prefix_v4 = " + std::to_string(rule.min_prefix_v4);
  }
  if (!is_v4 && host.length < rule.min_prefix_v6) {
    return host.to_string() +
           " is wider than its min_prefix_v6 = " + std::to_string(rule.min_prefix_v6);
  }
  return {};
}

std::optional<std::string> too_open(const Rule& rule, const Grant& grant) {
  if (grant.protocol == IPPROTO_ICMP || grant.protocol == IPPROTO_ICMPV6) return {};
  for (const PortPair& pair : grant.pairs) {
    const int open = (pair.a == 0) + (pair.b == 0);
    if (open > static_cast<int>(rule.any_port))
      return "any port of " + std::string(open == 2 ? "both hosts" : "a host") +
             " is more than its any_port allows";
  }
  return {};
}

// What the rule does not give to anybody, as a detail for who asked.
std::optional<std::string> beyond(const Rule& rule, const Grant& grant) {
  if (grant.verb == FL_VERB_COUNT && !rule.count) return "it allows no counting";
  if (grant.verb == FL_VERB_CAPTURE && !rule.capture)
    return "it allows counting alone; ask for that (fieldline ping --count)";
  for (const Prefix& host : {grant.host_a, grant.host_b}) {
    if (auto wide = too_wide(rule, host)) return wide;
  }
  return too_open(rule, grant);
}

std::uint8_t sample_bits_of(std::uint32_t sample_n) {
  return static_cast<std::uint8_t>(std::bit_width(sample_n) - 1);
}

Decision within(const Rule& rule, const Grant& grant) {
  Decision decision;
  decision.rule = rule.name;
  decision.archive = grant.archive;
  decision.not_after_ns = grant.not_after_ns;
  decision.snaplen = grant.snaplen;
  decision.inner = rule.inner;

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
  if (grant.verb == FL_VERB_COUNT) {
    decision.sample_bits = FL_SAMPLE_NONE;
    return decision;
  }
  decision.sample_bits = sample_bits_of(std::max(grant.sample_n, rule.min_sample));
  if (grant.sample_n < rule.min_sample) {
    decision.clamped.push_back(brief_sample(grant.sample_n) + " to " +
                               brief_sample(rule.min_sample));
  }
  return decision;
}

}  // namespace

bool Policy::looks_inside() const {
  return std::any_of(allow.begin(), allow.end(), [](const Rule& rule) { return rule.inner; });
}

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
  if (auto why = beyond(*rule, grant))
    return refuse(Reason::denied, "by rule " + rule->name + ": " + *why, rule->name);
  const bool pinned = grant.archive == Fingerprint{} ||
                      std::find(rule->archives.begin(), rule->archives.end(), grant.archive) !=
                          rule->archives.end();
  if (!pinned && !rule->requester_archives) {
    return refuse(Reason::unknown_archive,
                  "archive " + to_hex(grant.archive) + " is not pinned by rule " + rule->name,
                  rule->name);
  }
  Decision decision = within(*rule, grant);
  decision.at_requester = !pinned;
  return decision;
}

}  // namespace fieldline::sense
