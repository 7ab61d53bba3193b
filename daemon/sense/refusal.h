// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace fieldline::sense {

// Why a trigger was not honoured; each is a counter of its own, in this order of checks.
enum class Reason : std::uint8_t {
  malformed,  // lengths, reserved fields, unknown verb, times that contradict each other
  unknown_version,
  unsupported,     // certificate, hardware key, a sampling or verb that this version has not
  outer_mismatch,  // the packet's own addresses are not the grant's
  expired,         // pulse or grant
  from_future,
  unknown_key,        // no signer with that key id, or its line is not valid at this time
  wrong_namespace,    // the key may not sign grants
  hosts_not_allowed,  // no rule allows these addresses to that key
  duplicate,          // the same sequence again, or the end of a run that is not on; a no-op
  rate_limited,
  busy,             // verification queue full, or the run is being wound up
  bad_signature,    // grant or pulse
  grant_changed,    // a known run id with another grant
  denied,           // by a deny rule or by no allow rule
  unknown_archive,  // selects an archive that the policy does not pin
  table_full,       // flows, masks or runs
  source_failed,    // what records here could not be told of the run
  count_
};

constexpr std::size_t kReasons = static_cast<std::size_t>(Reason::count_);
const char* name_of(Reason reason);    // "bad_signature": the counter's name
const char* remedy_of(Reason reason);  // one line for the log: what the operator or user does next

struct Refusal {
  Reason reason;
  std::string detail;
  // Who asked; set once his signatures verified. Empty for strangers, and for duplicates, which
  // nobody needs to be told of.
  std::string principal{};
  // For the log, as the trigger claims them; empty if it did not get that far.
  std::string key_id{}, run{};  // hexadecimal
  std::string rule{};           // that decided
};

using RefusalCounters = std::array<std::uint64_t, kReasons>;

}  // namespace fieldline::sense
