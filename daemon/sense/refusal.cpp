// SPDX-License-Identifier: Apache-2.0
#include "sense/refusal.h"

namespace fieldline::sense {

namespace {

struct Row {
  const char* name;
  const char* remedy;
};

// In the order of the enumeration; docs/format/trigger.md has the same table.
constexpr std::array<Row, kReasons> kRows{{
    {"malformed",
     "the sender is broken or not Fieldline's; compare it with docs/format/trigger.md"},
    {"unknown_version", "update this sensor, or send with a fieldline of its version"},
    {"unsupported",
     "sign a plain ssh-ed25519 grant without certificate or hardware key, for one of 2, 4, 8 ... "
     "packets if not for all"},
    {"outer_mismatch",
     "send the trigger from one host of the grant to the other; look for NAT or a tunnel on the "
     "path"},
    {"expired", "compare both clocks (timedatectl), then run fieldline ping again"},
    {"from_future", "compare both clocks (timedatectl); the sender's is ahead of this sensor's"},
    {"unknown_key",
     "add the key to this sensor's allowed_signers, or renew its valid-before, then reload"},
    {"wrong_namespace",
     "add grant@fieldline to the namespaces of the key's line in allowed_signers, then reload"},
    {"hosts_not_allowed",
     "add the hosts and the principal to an [[allow]] of this sensor's policy, then reload"},
    {"duplicate", "nothing: the same pulse passes here more than once, as an echo reply does"},
    {"rate_limited",
     "send less often; if nobody sends that much, somebody imitates the key id: look at the "
     "sources"},
    {"busy",
     "nothing: the next pulse is tried again; if it persists, look for a flood of triggers"},
    {"bad_signature",
     "sign with the key that the key id names; a damaged or imitated trigger ends here too"},
    {"grant_changed", "start a new run: a run id belongs to one grant for good"},
    {"denied", "ask the sensor's operator: a [[deny]] of the policy matches, or no [[allow]] does"},
    {"unknown_archive",
     "select no archive, or ask the operator to pin its key in `archives` of the [[allow]]"},
    {"table_full", "wait for other runs to end, ask for fewer flows, or raise the sensor's limit"},
    {"source_failed",
     "see this host's log; with source = \"module\" end whoever has the rings open (magnet-read), "
     "or take source = \"auto\""},
}};

const Row& row_of(Reason reason) {
  static constexpr Row unknown{"unknown", "report this as a bug"};
  auto at = static_cast<std::size_t>(reason);
  return at < kReasons ? kRows[at] : unknown;
}

}  // namespace

const char* name_of(Reason reason) {
  return row_of(reason).name;
}
const char* remedy_of(Reason reason) {
  return row_of(reason).remedy;
}

}  // namespace fieldline::sense
