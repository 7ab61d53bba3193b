// SPDX-License-Identifier: Apache-2.0
#include "sense/gate.h"

#include <algorithm>

#include "base/clock.h"

namespace fieldline::sense {

namespace {

constexpr unsigned kSourceBitsV4 = 96 + 24, kSourceBitsV6 = 64;

Refusal refuse(const Grant& grant, Reason reason, std::string detail) {
  return {reason, std::move(detail), {}, to_hex(grant.key_id), grant.run.hex()};
}

Address address_of(const __u8 (&bytes)[16]) {
  Address address;
  std::copy(std::begin(bytes), std::end(bytes), address.bytes.begin());
  return address;
}

BucketTable::Key bucket_key(const KeyId& id) {
  BucketTable::Key key{};
  std::copy(id.begin(), id.end(), key.begin());
  return key;
}

BucketTable::Key bucket_key(const KeyId& id, const Address& source) {
  BucketTable::Key key = bucket_key(id);
  unsigned bytes = (source.is_v4() ? kSourceBitsV4 : kSourceBitsV6) / 8;
  std::copy_n(source.bytes.begin(), bytes, key.begin() + id.size());
  return key;
}

std::string seconds_text(std::uint64_t ns) {
  return std::to_string(ns / kNanosPerSecond) + " s";
}

// Written so that no sum of wire values can overflow. A pulse that outlasts its grant is cut to it
// on acceptance. One that ends its run has no length; it is honoured as long as any pulse of that
// run could still be alive.
std::optional<Refusal> outside_window(const Trigger& trigger, std::uint64_t now) {
  const Grant& grant = trigger.grant;
  const Pulse& pulse = trigger.pulse;
  if (now >= grant.not_after_ns) {
    return refuse(grant, Reason::expired,
                  "the grant ended " + seconds_text(now - grant.not_after_ns) + " ago");
  }
  const std::uint64_t life =
      pulse.ends_run() ? kPulseWindowMax : pulse.expiry_ns - pulse.issued_at_ns;
  if (now > pulse.issued_at_ns && now - pulse.issued_at_ns >= life) {
    return refuse(grant, Reason::expired,
                  "the pulse ended " + seconds_text(now - pulse.issued_at_ns - life) + " ago");
  }
  // The codec made sure that the grant is not younger than its pulse.
  if (pulse.issued_at_ns > now && pulse.issued_at_ns - now > kClockTolerance) {
    return refuse(grant, Reason::from_future,
                  "issued " + seconds_text(pulse.issued_at_ns - now) + " from now");
  }
  return {};
}

Refusal duplicate(const Grant& grant, std::uint32_t sequence, std::uint32_t last) {
  return refuse(grant, Reason::duplicate,
                "sequence " + std::to_string(sequence) + " after " + std::to_string(last));
}

}  // namespace

void verify(Ticket& ticket) {
  if (!ticket.grant_cached) {
    for (const PublicKey& key : ticket.candidate_keys) {
      ticket.grant_ok = verify_grant(key, ticket.trigger);
      if (!ticket.grant_ok) continue;
      ticket.signer = key;
      break;
    }
  } else {
    ticket.grant_ok = true;
  }
  ticket.pulse_ok = ticket.grant_ok && verify_pulse(ticket.trigger);
}

std::optional<fl_direction> direction_of(const Grant& grant, const fl_flow_key& outer) {
  const Address source = address_of(outer.src), destination = address_of(outer.dst);
  if (grant.host_a.contains(source) && grant.host_b.contains(destination)) return FL_FORWARD;
  if (grant.host_b.contains(source) && grant.host_a.contains(destination)) return FL_REVERSE;
  return {};
}

Gate::Gate(Trust trust, Policy policy, const GateLimits& limits)
    : trust_(std::move(trust)),
      policy_(std::move(policy)),
      limits_(limits),
      by_source_(limits.by_source, limits.sources),
      by_key_(limits.by_key, limits.sources) {}

void Gate::reload(Trust trust, Policy policy) {
  trust_ = std::move(trust);
  policy_ = std::move(policy);
  for (auto& [run, known] : runs_) known.verified = false;
}

// The key id is a hint: every key that has it and whose rules could allow these hosts is a
// candidate.
std::optional<Refusal> Gate::find_candidates(Ticket& ticket, std::uint64_t now) const {
  const Grant& grant = ticket.trigger.grant;
  bool may_sign_grants = false, valid_now = false;
  const auto signers = trust_.with_key_id(grant.key_id);
  for (const Signer* signer : signers) {
    if (!signer->allows_namespace(FL_GRANT_NAMESPACE)) continue;
    may_sign_grants = true;
    if (!signer->valid_at(now)) continue;
    valid_now = true;
    auto& keys = ticket.candidate_keys;
    if (std::find(keys.begin(), keys.end(), signer->key) != keys.end()) continue;
    if (keys.size() >= limits_.candidates) break;
    if (could_allow(policy_, trust_.principals_of(signer->key, FL_GRANT_NAMESPACE, now), grant)) {
      keys.push_back(signer->key);
    }
  }
  if (!ticket.candidate_keys.empty()) return {};
  const std::string key = "key id " + to_hex(grant.key_id);
  if (signers.empty())
    return refuse(grant, Reason::unknown_key, key + " is not in allowed_signers");
  const std::string line = "line " + std::to_string(signers.front()->line) + " of allowed_signers";
  if (!may_sign_grants) {
    return refuse(grant, Reason::wrong_namespace,
                  key + ", " + line + ": may not sign " FL_GRANT_NAMESPACE);
  }
  if (!valid_now)
    return refuse(grant, Reason::unknown_key, key + ", " + line + ": not valid at this time");
  return refuse(grant, Reason::hosts_not_allowed,
                "no [[allow]] gives " + grant.host_a.to_string() + " and " +
                    grant.host_b.to_string() + " to " + key);
}

// Who has an active run renews it in a lane of its own, which a flood with his key id does not
// touch.
bool Gate::within_rates(const Ticket& ticket, const fl_flow_key& outer, KnownRun* known,
                        std::uint64_t now) {
  if (known != nullptr && known->active) return known->lane.take(limits_.by_run, now);
  const KeyId& id = ticket.trigger.grant.key_id;
  return by_source_.take(bucket_key(id, address_of(outer.src)), now) &&
         by_key_.take(bucket_key(id), now);
}

std::variant<Ticket, Refusal> Gate::admit(ByteView bytes, const fl_flow_key& outer,
                                          std::uint64_t now) {
  auto read = read_trigger(bytes);
  if (auto* refusal = std::get_if<Refusal>(&read)) return std::move(*refusal);
  Ticket ticket;
  ticket.trigger = std::get<Trigger>(std::move(read));
  ticket.inside = (outer.where & FL_KEY_INSIDE) != 0;
  const Grant& grant = ticket.trigger.grant;

  if (!direction_of(grant, outer)) {
    return refuse(grant, Reason::outer_mismatch,
                  address_of(outer.src).to_string() + " to " + address_of(outer.dst).to_string() +
                      " is not between " + grant.host_a.to_string() + " and " +
                      grant.host_b.to_string());
  }
  if (auto refusal = outside_window(ticket.trigger, now)) return std::move(*refusal);
  if (auto refusal = find_candidates(ticket, now)) return std::move(*refusal);

  // A known run id with other bytes is nobody's duplicate: settle() says grant_changed once it
  // verified.
  auto at = runs_.find(grant.run);
  KnownRun* known = at == runs_.end() ? nullptr : &at->second;
  if (known != nullptr && known->grant_hash != grant_hash_of(ticket.trigger)) known = nullptr;
  if (known != nullptr && ticket.trigger.pulse.sequence <= known->last_sequence) {
    return duplicate(grant, ticket.trigger.pulse.sequence, known->last_sequence);
  }
  if (!within_rates(ticket, outer, known, now)) {
    return refuse(grant, Reason::rate_limited,
                  "too many from " + address_of(outer.src).to_string() + " with key id " +
                      to_hex(grant.key_id));
  }
  if (known != nullptr && known->verified) {
    ticket.grant_cached = true;
    ticket.signer = known->signer;
  }
  return ticket;
}

// An ended run may go early once no pulse of it can be replayed any more; a run that is on never
// goes.
std::optional<Refusal> Gate::make_room(const Grant& grant, std::uint64_t now) {
  if (runs_.size() < limits_.runs || runs_.contains(grant.run)) return {};
  if (now < swept_ns_ || now - swept_ns_ >= kNanosPerSecond) {
    swept_ns_ = now;
    std::erase_if(runs_, [&](const auto& entry) {
      return !entry.second.active && now > entry.second.replayable_ns;
    });
  }
  if (runs_.size() < limits_.runs) return {};
  return refuse(grant, Reason::table_full,
                std::to_string(limits_.runs) + " grants are remembered already");
}

void Gate::remember(const Ticket& ticket, const Fingerprint& hash, const Decision& decision,
                    std::uint64_t now) {
  const Grant& grant = ticket.trigger.grant;
  const Pulse& pulse = ticket.trigger.pulse;
  auto [at, is_new] = runs_.try_emplace(grant.run);
  KnownRun& known = at->second;
  if (is_new) known.lane = Bucket::full(limits_.by_run, now);
  known.grant_hash = hash;
  known.signer = ticket.signer;
  known.last_sequence = pulse.sequence;
  known.replayable_ns = std::max(known.replayable_ns, pulse.issued_at_ns + kPulseWindowMax);
  known.forget_ns =
      std::min(grant.not_after_ns, std::max(decision.not_after_ns, known.replayable_ns));
  known.verified = true;
  known.active = !pulse.ends_run();
}

std::variant<Accepted, Refusal> Gate::settle(Ticket ticket, std::uint64_t now) {
  const Grant& grant = ticket.trigger.grant;
  const Pulse& pulse = ticket.trigger.pulse;
  if (!ticket.grant_ok) return refuse(grant, Reason::bad_signature, "the grant's");
  if (!ticket.pulse_ok) return refuse(grant, Reason::bad_signature, "the pulse's");

  // Time, trust and other tickets of this run may have moved while this one was in the queue.
  const auto principals = trust_.principals_of(ticket.signer, FL_GRANT_NAMESPACE, now);
  if (principals.empty()) {
    return refuse(grant, Reason::unknown_key,
                  "its line went from allowed_signers while it was verified");
  }
  auto refuse_known = [&](Refusal refusal) {
    refusal.principal = principals.front();
    return refusal;
  };
  if (auto refusal = outside_window(ticket.trigger, now)) return refuse_known(std::move(*refusal));
  const Fingerprint hash = grant_hash_of(ticket.trigger);
  auto at = runs_.find(grant.run);
  const bool active = at != runs_.end() && at->second.active;
  if (at != runs_.end() && at->second.grant_hash != hash) {
    return refuse_known(
        refuse(grant, Reason::grant_changed, "run " + grant.run.hex() + " has another grant"));
  }
  if (at != runs_.end() && pulse.sequence <= at->second.last_sequence) {
    return duplicate(grant, pulse.sequence, at->second.last_sequence);
  }

  auto decided = decide(policy_, principals, grant);
  if (auto* refusal = std::get_if<Refusal>(&decided)) return std::move(*refusal);
  auto& decision = std::get<Decision>(decided);
  if (ticket.inside && !decision.inner) {
    Refusal refusal = refuse_known(
        refuse(grant, Reason::denied,
               "it came inside a tunnel, and rule " + decision.rule + " has no inner = true"));
    refusal.rule = decision.rule;
    return refusal;
  }
  if (decision.not_after_ns <= now) {
    Refusal refusal =
        refuse_known(refuse(grant, Reason::expired, "the time that the policy gives is over"));
    refusal.rule = decision.rule;
    return refusal;
  }
  if (auto refusal = make_room(grant, now)) return refuse_known(std::move(*refusal));

  remember(ticket, hash, decision, now);
  // The sequence is taken all the same, so that an older pulse which this one overtook starts
  // nothing.
  if (pulse.ends_run() && !active) {
    return refuse(grant, Reason::duplicate, "ends a run that is not on here");
  }
  return Accepted{std::move(ticket.trigger), std::move(decision), principals.front(), active};
}

void Gate::forget(const RunId& run) {
  auto at = runs_.find(run);
  if (at != runs_.end()) at->second.active = false;
}

void Gate::expire(std::uint64_t now) {
  std::erase_if(runs_, [&](const auto& entry) { return entry.second.forget_ns <= now; });
  by_source_.drop_full(now);
  by_key_.drop_full(now);
}

}  // namespace fieldline::sense
