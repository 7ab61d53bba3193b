// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/settings.h"
#include "sense/refusal.h"
#include "sense/trigger.h"

namespace fieldline::sense {

// At how many ends of a flow a grant may leave the port open.
enum class AnyPort { none, one, both };

// One [[deny]] or [[allow]] of the sensor's policy; an empty list matches everything.
struct Rule {
  std::string name;                     // for logs and answers; "allow 1" if the file gives none
  std::vector<std::string> principals;  // patterns
  std::vector<Prefix> hosts;  // deny: either host touches one; allow: each host lies inside one
  std::uint64_t max_duration_ns = 600ull * 1'000'000'000;  // allow: not_after - issued_at
  std::uint16_t max_snaplen = 0;                           // allow: 0 is headers only
  std::uint8_t min_prefix_v4 = 32, min_prefix_v6 = 128;    // allow: the widest host of a grant
  AnyPort any_port = AnyPort::both;                        // allow
  std::uint32_t min_sample = 1;       // allow: at most one of so many packets; a power of two
  bool capture = true, count = true;  // allow: the verbs
  bool inner = false;                 // allow: also packets and triggers inside tunnels
  std::vector<Fingerprint> archives;  // allow: what a grant may select; empty: the sensor's own
  // allow: any other key that a grant selects is an archive's on the grant's host A
  bool requester_archives = false;
};

// Deny by default: a deny that matches is final, then the first allow that matches decides.
struct Policy {
  std::vector<Rule> deny, allow;

  bool looks_inside() const;  // may any rule's flows be looked for inside tunnels?
};

// What a sensor does with an accepted grant. Clamped values are safe to reduce; each is named in
// `clamped`.
struct Decision {
  std::string rule;
  std::uint64_t not_after_ns = 0;
  std::uint16_t snaplen = 0;
  std::uint8_t sample_bits = 0;  // as in fl_flow_value; FL_SAMPLE_NONE: the run is counted alone
  bool inner = false;
  Fingerprint archive{};
  bool at_requester = false;         // the archive is none that is pinned, but the requester's
  std::vector<std::string> clamped;  // "duration 2 h to 10 min"
};

// The sensor's answer to a verified grant: denied or unknown_archive if it is a Refusal. A grant
// matches a rule by any of its principals.
std::variant<Decision, Refusal> decide(const Policy& policy,
                                       const std::vector<std::string>& principals,
                                       const Grant& grant);

// Cheap question before any verification: could any rule allow this principal these hosts?
bool could_allow(const Policy& policy, const std::vector<std::string>& principals,
                 const Grant& grant);

// The [[deny]] and [[allow]] tables of a sensor's settings; problems are left in the settings.
Policy read_policy(Settings& sensor);

}  // namespace fieldline::sense
